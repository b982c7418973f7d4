package main

import (
	"net"
	"net/netip"

	"go.uber.org/zap"

	httptunnel "module-controller/tunnel/http"
)

// risk is what a setting permits that an operator may not have meant.
type risk struct {
	// setting is the name of the setting that opens it.
	setting string
	// what can happen, and what to do about it.
	what, instead string
}

// risks gives the open doors of a configuration, in the order of the settings.
func (c *config) risks() (all []risk) {
	add := func(open bool, r risk) {
		if open {
			all = append(all, r)
		}
	}
	add(c.metricsAuth == metricsAuthNone && !loopback(c.metricsAddress), risk{"METRICS_AUTH",
		"whoever reaches METRICS_BIND_ADDRESS reads the metrics", "set METRICS_AUTH=kubernetes"})
	add(c.metricsAuth == metricsAuthKubernetes && c.metricsTLS == pair{}, risk{"METRICS_CERT_PATH",
		"scrapers send their tokens in clear: whoever reads the network can use them", "set METRICS_CERT_PATH and METRICS_KEY_PATH"})
	add(c.kubelet.enabled && c.kubelet.tls == pair{}, risk{"KUBELET_PROXY_CERT_PATH",
		"nobody signed the certificate of the kubelet's API, so who asks cannot tell whom he sends his token to", "set KUBELET_PROXY_CERT_PATH and KUBELET_PROXY_KEY_PATH, and verify it where you ask"})
	if c.useMQTT {
		m := c.mqtt
		secret := m.Password != "" || m.PasswordFile != ""
		add(secret && !m.TLS, risk{"MQTT_TLS",
			"the broker's password and all commands, with the environment of modules, travel in clear", "set MQTT_TLS or MQTT_CA_PATH"})
		add(!secret && m.CertFile == "", risk{"MQTT_USERNAME",
			"the broker lets this program in without a proof, so it may let in anybody, who is any base then", "give the broker users and an ACL, and set MQTT_USERNAME and MQTT_PASSWORD_FILE, or a client certificate"})
	}
	if c.useHTTP {
		h := c.http
		add(h.Auth == httptunnel.AuthAnyone, risk{"HTTP_TUNNEL_AUTH",
			"whoever reaches HTTP_TUNNEL_LISTEN_PORT may be any base: modules, with their environment, are sent to him", "set HTTP_TUNNEL_AUTH to pod, token, certificate or address"})
		add((h.TokenFile != "" || h.Auth == httptunnel.AuthToken) && h.CertFile == "", risk{"HTTP_TUNNEL_CERT_PATH",
			"bases send their tokens in clear: whoever reads the network can be a base", "set HTTP_TUNNEL_CERT_PATH and HTTP_TUNNEL_KEY_PATH"})
	}
	add(c.webhooks.AllowHTTP && len(c.webhooks.URLs) > 0, risk{"REPORT_HOOKS_ALLOW_HTTP",
		"what webhooks are told of failed installs can be read and held back on the network", "use https:// in REPORT_HOOKS"})
	return all
}

// loopback says whether an address can be reached from this host alone, or not at all.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // it is nowhere
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// notes are the open doors for who asks whether this program is ready.
func (c *config) notes() (lines []string) {
	for _, r := range c.risks() {
		lines = append(lines, "insecure "+r.setting+": "+r.what+"; "+r.instead)
	}
	return lines
}

// warnOfRisks logs the open doors.
func warnOfRisks(log *zap.Logger, cfg *config) {
	for _, r := range cfg.risks() {
		log.Warn("insecure setting", zap.String("setting", r.setting), zap.String("risk", r.what), zap.String("instead", r.instead))
	}
}
