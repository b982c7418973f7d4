package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"module-controller/election"
	"module-controller/provider"
	"module-controller/provider/plan"
	"module-controller/provider/scaling"
	"module-controller/provider/webhooks"
	"module-controller/provider/workloads"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// config is the whole configuration, ready to be handed to its parts.
type config struct {
	// file has some of it; empty for none. origins say where each setting is from that is
	// not as by default, by variable.
	file    string
	origins map[string]found
	// live is what changes while the program runs; nil before it does.
	live *live

	envs                  []string
	podName, podNamespace string
	podUID, podIP         string
	kubeconfig            string
	// apiHost is where Kubernetes says that the API server is; empty outside a cluster.
	apiHost string
	// services are the networks of Services, once they were asked for.
	services                     []netip.Prefix
	qps                          float64
	burst                        int
	logLevel, logFormat          string
	metricsAddress, probeAddress string
	// metricsAuth is who may read metrics: metricsAuthNone, metricsAuthKubernetes.
	metricsAuth string
	metricsTLS  pair
	profiling   bool
	tracing     tracingConfig
	kubelet     kubeletConfig

	useMQTT, useHTTP bool
	mqttPrefix       string
	mqtt             mqtttunnel.Config
	http             httptunnel.Config
	workloads        workloads.Config
	provider         provider.Config
	election         election.Config
	// scalesPeers says whether peer Deployments are scaled, scaling how.
	scalesPeers bool
	scaling     scaling.Config
	webhooks    webhooks.Config

	// ignored names settings that ask for what this version does not have.
	ignored []string
	// deprecated are the settings that are set by the name before they were renamed.
	deprecated []renamed
}

// newConfig has the defaults that are no package's. The zero value of the other
// fields means the default of their package: see complete.
func newConfig() *config {
	return &config{
		origins: map[string]found{},
		envs:    []string{"default"}, podNamespace: "module-controller",
		qps: 500, burst: 1000, logLevel: "info", logFormat: "json", metricsAddress: ":8080", probeAddress: ":8081",
		mqttPrefix: "module-controller", tracing: tracingConfig{ratePerMillion: million}, kubelet: newKubeletConfig(),
	}
}

// complete fills in the defaults of the packages.
func (c *config) complete() {
	c.mqtt, c.http, c.workloads = c.mqtt.Complete(), c.http.Complete(), c.workloads.Complete()
	c.election, c.provider, c.scaling = c.election.Complete(), c.provider.Complete(), c.scaling.Complete()
	c.webhooks = c.webhooks.Complete()
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
	errs = append(errs, c.checkNames()...)
	errs = append(errs, c.checkListeners()...)
	errs = append(errs, c.checkNetworks())
	errs = append(errs, c.tracing.validate(), c.kubelet.validate(c.podIP, c.listeners()))
	errs = append(errs, c.metricsTLS.check("METRICS_CERT_PATH", "METRICS_KEY_PATH"))
	c.metricsAuth = cmp.Or(c.metricsAuth, metricsAuthFor(c.metricsAddress))
	c.election.Name, c.election.Base = plan.NodeName, plan.BaseOf
	c.election.Namespace, c.election.PodUID = c.podNamespace, c.podUID
	c.election.Envs, c.election.Version = c.envs, version
	if c.useHTTP && c.podIP != "" {
		c.election.Address = net.JoinHostPort(c.podIP, portOf(c.http.ListenPeers))
	}
	c.provider.Node.Version = version
	c.election.Incarnation = newIncarnation(c.podName) // run gives each session its own
	ownership := c.election.Validate()
	if ownership == nil {
		ownership = c.checkRate()
	}
	errs = append(errs, ownership, c.provider.Validate(), c.scaling.Validate(), c.webhooks.Validate())
	for _, e := range c.envs {
		if err := plan.CheckEnv(e); err != nil {
			errs = append(errs, fmt.Errorf("ENV: %w", err))
		}
	}
	return append(errs, c.finishTunnels()...)
}

// metricsAuthFor is who may read metrics where nothing says so: who is on this host
// already may, others must be permitted to.
func metricsAuthFor(address string) string {
	if loopback(address) {
		return metricsAuthNone
	}
	return metricsAuthKubernetes
}

// checkNames gives the faults of what the API server knows.
func (c *config) checkNames() (errs []error) {
	if faults := validation.IsDNS1123Subdomain(c.podName); len(faults) > 0 {
		errs = append(errs, fmt.Errorf("POD_NAME %q is no Pod's name: %s", c.podName, strings.Join(faults, "; ")))
		c.podName = "wrong" // which is told once
	}
	if faults := validation.IsDNS1123Label(c.podNamespace); len(faults) > 0 {
		errs = append(errs, fmt.Errorf("POD_NAMESPACE %q is no namespace: %s", c.podNamespace, strings.Join(faults, "; ")))
	}
	if c.kubeconfig != "" {
		if _, err := restConfig(c); err != nil {
			errs = append(errs, fmt.Errorf("KUBECONFIG %s is of no use: %s", c.kubeconfig, strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
	}
	return errs
}

// listener is an address that is listened on, and the setting that says so.
type listener struct{ setting, address string }

func (c *config) listeners() []listener {
	all := []listener{{"METRICS_BIND_ADDRESS", c.metricsAddress}, {"HEALTH_PROBE_BIND_ADDRESS", c.probeAddress}}
	if c.useHTTP {
		all = append(all, listener{"HTTP_TUNNEL_LISTEN_PORT", c.http.Listen}, listener{"PEER_LISTEN_PORT", c.http.ListenPeers})
	}
	return all
}

// checkListeners gives a fault for each two that cannot listen both.
func (c *config) checkListeners() (errs []error) {
	all := c.listeners()
	for i, one := range all {
		for _, other := range all[i+1:] {
			if clash(one.address, other.address) {
				errs = append(errs, fmt.Errorf("%s (%s) and %s (%s) have the same port: change one", one.setting, one.address, other.setting, other.address))
			}
		}
	}
	return errs
}

// checkNetworks gives the fault of networks that are allowed in vain.
func (c *config) checkNetworks() error {
	for _, allowed := range c.http.Allowed {
		for _, denied := range c.http.Denied {
			if c.useHTTP && denied.Bits() <= allowed.Bits() && denied.Contains(allowed.Addr()) {
				return fmt.Errorf("%s of HTTP_TUNNEL_ALLOWED_CIDRS is in %s of HTTP_TUNNEL_DENIED_CIDRS, which goes before it: no base can be there", allowed, denied)
			}
		}
	}
	return nil
}

// checkRate gives the fault of a rate of requests that renewals of Leases alone exceed.
func (c *config) checkRate() error {
	e := c.election
	if needed := float64(e.Bases) / e.Renew.Seconds(); needed > c.qps {
		return fmt.Errorf("KUBE_API_QPS (%g) is too low: renewing the Leases of %d bases (BASES_PER_REPLICA) each %s (LEASE_RENEW_INTERVAL) takes %.1f requests a second", c.qps, e.Bases, e.Renew, needed)
	}
	return nil
}

// clash says whether two addresses share a port on some interface. Port 0 is any that is
// free.
func clash(one, other string) bool {
	host1, port1, err1 := net.SplitHostPort(one)
	host2, port2, err2 := net.SplitHostPort(other)
	if errors.Join(err1, err2) != nil || port1 != port2 || port1 == "0" {
		return false
	}
	return host1 == host2 || everywhere(host1) || everywhere(host2)
}

// everywhere says whether a host is all interfaces.
func everywhere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
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
		errs = append(errs, c.http.Validate(), c.workloads.Validate())
		if c.workloads.Find && c.http.Auth != httptunnel.AuthPod && c.http.Auth != httptunnel.AuthToken {
			errs = append(errs, fmt.Errorf("FIND_BASE_PODS needs HTTP_TUNNEL_AUTH=pod or token, it is %s: Pods are not known otherwise", c.http.Auth))
		}
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
