package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"module-controller/internal/diagnose"
	"module-controller/internal/fleet"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// broker is one that is looked at from here. The members' own connections are told by their
// Leases; a machine that runs kubectl may reach the broker otherwise than they do.
type broker struct {
	url, ca, username, passwordFile, cert, key string
	timeout                                    time.Duration
}

func (b *broker) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.url, "broker", "", "Look at a broker from here too: mqtts://HOST:8883, or mqtt://HOST:1883 without TLS")
	f.StringVar(&b.ca, "broker-ca", "", "File with the CA certificates for the broker; default those of this machine")
	f.StringVar(&b.username, "broker-username", "", "Username at the broker; one that may read the controller's topics")
	f.StringVar(&b.passwordFile, "broker-password-file", "", "File with the password at the broker")
	f.StringVar(&b.cert, "broker-cert", "", "File with a client certificate for the broker")
	f.StringVar(&b.key, "broker-key", "", "File with the key of --broker-cert")
	f.DurationVar(&b.timeout, "broker-timeout", 10*time.Second, "How long to wait for the broker at most")
}

// config is how the broker is connected to, for bases of environments.
func (b *broker) config(envs []string) (mqtttunnel.Config, error) {
	u, err := url.Parse(b.url)
	if err != nil {
		return mqtttunnel.Config{}, fmt.Errorf("--broker: %w", err)
	}
	ports := map[string]int{"mqtts": 8883, "ssl": 8883, "mqtt": 1883, "tcp": 1883}
	port, known := ports[u.Scheme]
	switch {
	case !known, u.Hostname() == "", u.Path != "" && u.Path != "/":
		return mqtttunnel.Config{}, fmt.Errorf("--broker %q is none: give mqtts://HOST:8883, or mqtt://HOST:1883 without TLS", b.url)
	case u.User != nil:
		return mqtttunnel.Config{}, errors.New("--broker has a user: give --broker-username and --broker-password-file")
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil {
			return mqtttunnel.Config{}, fmt.Errorf("--broker: port %q is no number", text)
		}
	}
	return mqtttunnel.Config{
		Broker: u.Hostname(), Port: port, TLS: ports[u.Scheme] == 8883, CAFile: b.ca, CertFile: b.cert, KeyFile: b.key,
		Username: b.username, PasswordFile: b.passwordFile, Environments: envs, Timeout: b.timeout / 2,
	}, nil
}

// checked is config, complete and without a fault.
func (b *broker) checked(envs []string) (mqtttunnel.Config, error) {
	c, err := b.config(envs)
	if err != nil {
		return c, err
	}
	c = c.Complete()
	c.ClientID = "check"
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("look at the broker: %w", err)
	}
	return c, nil
}

// look looks at the broker, as far as it is named.
func (b *broker) look(ctx context.Context, s *fleet.Snapshot) (groups []diagnose.Group, err error) {
	if b.url == "" {
		return nil, nil
	}
	envs, _ := s.Served()
	if len(envs) == 0 {
		envs = []string{"default"}
	}
	c, err := b.checked(envs)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	is := diagnose.Broker{URL: cmp.Or(map[bool]string{true: "mqtts://"}[c.TLS], "mqtt://") + net.JoinHostPort(c.Broker, strconv.Itoa(c.Port))}
	seen, err := mqtttunnel.LookAt(limited, c)
	if err != nil {
		is.Trouble = err.Error()
	}
	for _, topic := range seen.Retained {
		is.Retained = append(is.Retained, mqtttunnel.ShownTopic(topic))
	}
	is.Refused = seen.Refused
	return []diagnose.Group{diagnose.CheckBroker(is)}, nil
}
