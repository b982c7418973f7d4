package mqtttunnel

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"module-controller/tunnel"
)

// Config are the settings of a Tunnel. Broker, ClientID and Environments are
// needed; the zero value of the others means their default.
type Config struct {
	// Broker is the broker's host, Port its port (default 1883, with TLS 8883).
	Broker string
	Port   int
	// ClientID identifies this connection at the broker; no other client may use it.
	ClientID string
	// Username and Password, or PasswordFile, which is read at each connect.
	Username, Password, PasswordFile string
	// Login gives these three as they hold now, where they may change while it runs: it is
	// asked at each connect, and must return at once. Nil: as configured.
	Login func() Login
	// TLS encrypts, and verifies the broker against CAFile or, without one, the
	// system's authorities. It is implied by CAFile. CertFile and KeyFile are
	// this client's certificate. All are read at each connect. ServerName is the
	// name in the broker's certificate; default Broker.
	TLS                       bool
	CAFile, CertFile, KeyFile string
	ServerName                string
	// Environments are those whose bases are served.
	Environments []string
	// KeepAlive is how often an idle connection is pinged, and PingTimeout how long
	// the broker may take to answer. Defaults 10 s, 5 s.
	KeepAlive, PingTimeout time.Duration
	// ProbeEvery is how often a message to ourselves tests that the broker still
	// delivers, while nothing else is received. Default 5 s.
	ProbeEvery time.Duration
	// Timeout limits a connect, a write and an acknowledgement. Default 5 s.
	Timeout time.Duration
	// MaxPacket is the size in bytes of the largest message that is read, with its topic;
	// a larger one is dropped before room is made for it. Default 576 KiB: the longest answer, and a topic.
	MaxPacket int
	// Wildcards subscribes six filters for each environment instead of one for each base,
	// for brokers that allow few.
	Wildcards bool
	// ClearRetained deletes commands that other controllers left retained.
	ClearRetained bool
	// Gate tells whether commands may be sent, and delays the next connection until the
	// permission was renewed after the loss of the last one. Default tunnel.Open.
	Gate tunnel.Gate
	// Will is called before each connection with the hash of what the broker publishes
	// when it loses that connection; tell it to the other replicas. Gone is called with
	// the hash of what the broker published of somebody else's, and says whether a replica
	// told it: a reason to suspect that one, never a proof. Both return at once. Default:
	// nobody is told, and nobody is believed.
	Will func(hash string)
	Gone func(hash string) bool
	// Down is called with why a connection ended, or could not be made, and with an empty
	// text once there is one. It returns at once. Default: nobody is told.
	Down func(why string)
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.TLS = c.TLS || c.CAFile != ""
	if c.Port == 0 {
		c.Port = 1883
		if c.TLS {
			c.Port = 8883
		}
	}
	c.ServerName = cmp.Or(c.ServerName, c.Broker)
	c.KeepAlive = cmp.Or(c.KeepAlive, 10*time.Second)
	c.PingTimeout = cmp.Or(c.PingTimeout, 5*time.Second)
	c.ProbeEvery = cmp.Or(c.ProbeEvery, 5*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.MaxPacket = cmp.Or(c.MaxPacket, 576<<10) // the longest answer that is decoded, and a topic
	if c.Gate == nil {
		c.Gate = tunnel.Open
	}
	if c.Gone == nil {
		c.Gone = func(string) bool { return false }
	}
	if c.Will == nil {
		c.Will = func(string) {}
	}
	if c.Down == nil {
		c.Down = func(string) {}
	}
	return c
}

// Validate reports every fault of a completed configuration at once. Files must be
// readable now, although they are read again later.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Broker == "", "the MQTT broker is not named: set MQTT_BROKER")
	fault(strings.ContainsAny(c.Broker, "/@ "), "MQTT_BROKER %q must be a host, without scheme, path or user", c.Broker)
	fault(c.Port < 1 || c.Port > 65535, "MQTT_PORT %d must be from 1 to 65535", c.Port)
	fault(c.ClientID == "" || len(c.ClientID) > maxClientID, "the client ID %q, of MQTT_CLIENT_PREFIX or CLIENT_ID, must have 1 to %d bytes", c.ClientID, maxClientID)
	fault(len(c.Environments) == 0, "no environment is named: set ENV")
	for _, env := range c.Environments {
		fault(env == "" || strings.ContainsAny(env, "/+#"), "environment %q is not usable in a topic", env)
	}
	fault(c.Password != "" && c.PasswordFile != "", "set MQTT_PASSWORD or MQTT_PASSWORD_FILE, not both")
	fault(c.Username == "" && (c.Password != "" || c.PasswordFile != ""), "an MQTT password needs MQTT_USERNAME")
	fault((c.CertFile == "") != (c.KeyFile == ""), "MQTT_CLIENT_CRT_PATH and MQTT_CLIENT_KEY_PATH need each other: set both or none")
	fault(c.CertFile != "" && !c.TLS, "MQTT_CLIENT_CRT_PATH needs TLS: set MQTT_CA_PATH or MQTT_TLS")
	fault(c.KeepAlive < time.Second || c.PingTimeout <= 0 || c.ProbeEvery <= 0 || c.Timeout <= 0,
		"MQTT_KEEP_ALIVE (%s, at least 1s), ping timeout (%s), probe interval (%s) and timeout (%s) must be positive",
		c.KeepAlive, c.PingTimeout, c.ProbeEvery, c.Timeout)
	fault(c.MaxPacket != min(max(c.MaxPacket, minPacket), maxPacket), "the largest MQTT message (%d bytes) must have %d to %d bytes", c.MaxPacket, minPacket, maxPacket)
	if _, err := c.tls(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.login().password(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

const (
	minPacket = 64 << 10 // bytes; a list of 100 modules with their history has 20 KiB
	maxPacket = 256<<20 - 1
)

// maxClientID is what brokers in the field accept; MQTT 3.1.1 requires 23.
const maxClientID = 255

func (c Config) address() string {
	scheme := "tcp"
	if c.TLS {
		scheme = "ssl"
	}
	return scheme + "://" + c.hostPort()
}

func (c Config) hostPort() string { return net.JoinHostPort(c.Broker, strconv.Itoa(c.Port)) }

// Login is who a client is at the broker: a user with a password, or with a file that has it.
type Login struct{ Username, Password, PasswordFile string }

// login is what a connection is made with now.
func (c Config) login() Login {
	if c.Login != nil {
		return c.Login()
	}
	return Login{c.Username, c.Password, c.PasswordFile}
}

func (l Login) password() (string, error) {
	if l.PasswordFile == "" {
		return l.Password, nil
	}
	text, err := os.ReadFile(l.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read MQTT password: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// tls reads the files that the connection is secured with; nil means no TLS.
func (c Config) tls() (*tls.Config, error) {
	if !c.TLS {
		return nil, nil
	}
	t := &tls.Config{ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read MQTT authorities: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read MQTT authorities: %s has no certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read MQTT client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
