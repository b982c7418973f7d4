package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"module-controller/election"
	"module-controller/provider"
	"module-controller/provider/plan"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// config is the whole configuration, ready to be handed to its parts.
type config struct {
	envs                         []string
	podName, podNamespace        string
	podUID, podIP                string
	kubeconfig                   string
	qps                          float64
	burst                        int
	logLevel, logFormat          string
	metricsAddress, probeAddress string

	useMQTT, useHTTP bool
	mqttPrefix       string
	mqtt             mqtttunnel.Config
	http             httptunnel.Config
	httpPort         int
	provider         provider.Config
	election         election.Config

	// ignored names settings that ask for what this version does not have.
	ignored []string
}

// readConfig reads flags and environment; a flag wins. It names all faults at once.
func readConfig(args []string, env func(string) (string, bool)) (*config, error) {
	cfg := &config{}
	flags := flag.NewFlagSet("module-controller", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	all := settings(cfg)
	given := map[string]string{}
	for _, s := range all {
		flags.Func(s.flag, s.help, func(v string) error { given[s.flag] = v; return nil })
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, errors.Join(printSettings(os.Stdout), err)
		}
		return nil, fmt.Errorf("refusing to start: %w; --help lists the flags", err)
	}
	var errs []error
	if rest := flags.Args(); len(rest) > 0 {
		errs = append(errs, fmt.Errorf("arguments %q are not understood: settings are flags or environment", rest))
	}
	for _, s := range all {
		value, source := s.def, "default of "+s.env
		if v, ok := env(s.env); ok && v != "" {
			value, source = v, s.env
		}
		if v, ok := given[s.flag]; ok {
			value, source = v, "--"+s.flag
		}
		if err := s.set(value); err != nil {
			shown := value
			if s.secret {
				shown = "(hidden)"
			}
			errs = append(errs, fmt.Errorf("%s=%s: %w", source, shown, err))
		}
	}
	errs = append(errs, cfg.finish(env)...)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("refusing to start:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return cfg, nil
}

// finish derives what several settings decide together, and checks it.
func (c *config) finish(env func(string) (string, bool)) []error {
	var errs []error
	if c.podName == "" {
		host, err := os.Hostname()
		if err != nil {
			errs = append(errs, fmt.Errorf("POD_NAME is not set and the host has no name: %w", err))
		}
		c.podName = strings.ToLower(host)
	}
	c.election.Name, c.election.Base = plan.NodeName, plan.BaseOf
	c.election.Namespace, c.election.PodUID = c.podNamespace, c.podUID
	c.election.Envs, c.election.Version = c.envs, version
	if c.useHTTP && c.podIP != "" {
		c.election.Address = net.JoinHostPort(c.podIP, strconv.Itoa(c.httpPort))
	}
	c.begin(incarnation(c.podName))
	errs = append(errs, c.election.Complete().Validate(), c.provider.Complete().Validate())
	for _, e := range c.envs {
		errs = append(errs, plan.CheckEnv(e))
	}
	if !c.useMQTT && !c.useHTTP {
		errs = append(errs, errors.New("no tunnel is enabled: set ENABLE_MQTT_TUNNEL or ENABLE_HTTP_TUNNEL to true"))
	}
	if c.useMQTT {
		c.mqtt.Environments = c.envs
		checked := c.mqtt.Complete()
		checked.ClientID = c.clientID(c.election.Incarnation)
		errs = append(errs, checked.Validate())
	}
	if c.useHTTP {
		c.http.Env = c.envs[0]
		c.http.Listen = fmt.Sprintf(":%d", c.httpPort)
		errs = append(errs, c.http.Complete().Validate())
	}
	return errs
}

// begin begins a new life.
func (c *config) begin(incarnation string) { c.election.Incarnation = incarnation }

// clientID is the name of an incarnation at the broker.
func (c *config) clientID(incarnation string) string {
	if c.mqtt.ClientID != "" {
		return c.mqtt.ClientID
	}
	return strings.Trim(c.mqttPrefix+"-"+incarnation, "-")
}

// incarnationOf is the reverse of clientID.
func (c *config) incarnationOf(clientID string) (string, bool) {
	return strings.CutPrefix(clientID, strings.TrimSuffix(c.clientID("x"), "x"))
}
