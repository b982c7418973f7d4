package main

import (
	"errors"
	"fmt"
	"net"
	"os"
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
	provider         provider.Config
	election         election.Config

	// ignored names settings that ask for what this version does not have.
	ignored []string
	// deprecated are the settings that are set by the name before they were renamed.
	deprecated []renamed
}

// newConfig has the defaults that are no package's. The zero value of the other
// fields means the default of their package: see complete.
func newConfig() *config {
	return &config{
		envs: []string{"default"}, podNamespace: "module-controller",
		qps: 500, burst: 1000, logLevel: "info", logFormat: "json", metricsAddress: ":8080", probeAddress: ":8081",
		mqttPrefix: "module-controller",
	}
}

// complete fills in the defaults of the packages.
func (c *config) complete() {
	c.mqtt, c.http, c.election, c.provider = c.mqtt.Complete(), c.http.Complete(), c.election.Complete(), c.provider.Complete()
}

// finish completes the configuration, derives what several settings decide together,
// and checks it.
func (c *config) finish() []error {
	var errs []error
	c.complete()
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
		c.election.Address = net.JoinHostPort(c.podIP, portOf(c.http.ListenPeers))
	}
	c.provider.Node.Version = version
	c.election.Incarnation = newIncarnation(c.podName) // run gives each session its own
	errs = append(errs, c.election.Validate(), c.provider.Validate())
	for _, e := range c.envs {
		errs = append(errs, plan.CheckEnv(e))
	}
	return append(errs, c.finishTunnels()...)
}

func (c *config) finishTunnels() []error {
	var errs []error
	if !c.useMQTT && !c.useHTTP {
		errs = append(errs, errors.New("no tunnel is enabled: set ENABLE_MQTT_TUNNEL or ENABLE_HTTP_TUNNEL to true"))
	}
	if c.useMQTT {
		c.mqtt.Environments = c.envs
		checked := c.mqtt
		checked.ClientID = c.clientID(c.election.Incarnation)
		errs = append(errs, checked.Validate())
	}
	if c.useHTTP {
		c.http.Env = c.envs[0]
		errs = append(errs, c.http.Validate())
	}
	return errs
}

// clientID is the name of an incarnation at the broker.
func (c *config) clientID(incarnation string) string {
	if c.mqtt.ClientID != "" {
		return c.mqtt.ClientID
	}
	return strings.Trim(c.mqttPrefix+"-"+incarnation, "-")
}
