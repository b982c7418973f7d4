package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/provider/plan"
)

// setting is one thing that can be configured, by flag or by environment.
type setting struct {
	env, flag, def, help string
	secret               bool
	set                  func(string) error
}

// settings are all settings, in the order of the reference.
func settings(c *config) []setting {
	return slices.Concat(general(c), mqttSettings(c), httpSettings(c), ownership(c), behaviour(c), accepted(c))
}

func general(c *config) []setting {
	return []setting{
		{env: "ENV", flag: "env", def: "default", help: "environments whose bases are served, separated by commas; DNS labels", set: list(&c.envs)},
		{env: "POD_NAME", flag: "pod-name", help: "this replica's name; default: the host's", set: text(&c.podName)},
		{env: "POD_NAMESPACE", flag: "pod-namespace", def: "module-controller", help: "this replica's namespace", set: text(&c.podNamespace)},
		{env: "POD_UID", flag: "pod-uid", help: "this pod's UID: a container that is started again need not wait for its own last life to be over", set: text(&c.podUID)},
		{env: "POD_IP", flag: "pod-ip", help: "this pod's address, where members pass HTTP heartbeats on to; without it none are passed on to this replica", set: text(&c.podIP)},
		{env: "KUBECONFIG", flag: "kubeconfig", help: "a kubeconfig file; default: the pod's service account", set: text(&c.kubeconfig)},
		{env: "KUBE_API_QPS", flag: "kube-api-qps", def: "500", help: "requests a second to the API server", set: number(&c.qps)},
		{env: "KUBE_API_BURST", flag: "kube-api-burst", def: "1000", help: "requests to the API server at once, above the rate", set: count(&c.burst)},
		{env: "LOG_LEVEL", flag: "log-level", def: "info", help: "debug, info, warn or error", set: level(&c.logLevel)},
		{env: "LOG_FORMAT", flag: "log-format", def: "json", help: "json or console", set: oneOf(&c.logFormat, "json", "console")},
		{env: "METRICS_BIND_ADDRESS", flag: "metrics-bind-address", def: ":8080", help: "where /metrics is served; 0 for nowhere", set: text(&c.metricsAddress)},
		{env: "HEALTH_PROBE_BIND_ADDRESS", flag: "health-probe-bind-address", def: ":8081", help: "where /livez and /readyz are served; 0 for nowhere", set: text(&c.probeAddress)},
	}
}

func mqttSettings(c *config) []setting {
	m := &c.mqtt
	return []setting{
		{env: "ENABLE_MQTT_TUNNEL", flag: "enable-mqtt-tunnel", def: "false", help: "reach bases through an MQTT broker", set: boolean(&c.useMQTT)},
		{env: "MQTT_BROKER", flag: "mqtt-broker", help: "the broker's host", set: text(&m.Broker)},
		{env: "MQTT_PORT", flag: "mqtt-port", help: "the broker's port; default 1883, with TLS 8883", set: count(&m.Port)},
		{env: "MQTT_USERNAME", flag: "mqtt-username", help: "user at the broker", set: text(&m.Username)},
		{env: "MQTT_PASSWORD", flag: "mqtt-password", help: "password at the broker", secret: true, set: text(&m.Password)},
		{env: "MQTT_PASSWORD_FILE", flag: "mqtt-password-file", help: "file with the password, read at each connect", set: text(&m.PasswordFile)},
		{env: "MQTT_CLIENT_PREFIX", flag: "mqtt-client-prefix", def: "module-controller", help: "begins the client id, which ends in this life of this replica", set: text(&c.mqttPrefix)},
		{env: "CLIENT_ID", flag: "client-id", help: "the whole client id, instead of one that is made; nobody else may use it, so not for several replicas: they end a dead one's connection by its client id", set: text(&m.ClientID)},
		{env: "MQTT_TLS", flag: "mqtt-tls", def: "false", help: "encrypt and verify the broker; on by itself when MQTT_CA_PATH is set", set: boolean(&m.TLS)},
		{env: "MQTT_CA_PATH", flag: "mqtt-ca-path", help: "file with the authorities for the broker's certificate, read at each connect", set: text(&m.CAFile)},
		{env: "MQTT_CLIENT_CRT_PATH", flag: "mqtt-client-crt-path", help: "file with the client certificate, read at each connect", set: text(&m.CertFile)},
		{env: "MQTT_CLIENT_KEY_PATH", flag: "mqtt-client-key-path", help: "file with the client certificate's key", set: text(&m.KeyFile)},
		{env: "MQTT_SERVER_NAME", flag: "mqtt-server-name", help: "the name in the broker's certificate; default: MQTT_BROKER", set: text(&m.ServerName)},
		{env: "MQTT_KEEP_ALIVE", flag: "mqtt-keep-alive", def: "10s", help: "how often an idle connection is tried", set: duration(&m.KeepAlive)},
		{env: "MQTT_WILDCARDS", flag: "mqtt-wildcards", def: "false", help: "use six filters an environment instead of one a base, for brokers that allow few", set: boolean(&m.Wildcards)},
		{env: "MQTT_CLEAR_RETAINED", flag: "mqtt-clear-retained", def: "false", help: "delete commands that other controllers left retained at the broker", set: boolean(&m.ClearRetained)},
	}
}

func httpSettings(c *config) []setting {
	h := &c.http
	return []setting{
		{env: "ENABLE_HTTP_TUNNEL", flag: "enable-http-tunnel", def: "false", help: "take heartbeats of bases over HTTP and command them there; such bases belong to the first environment", set: boolean(&c.useHTTP)},
		{env: "HTTP_TUNNEL_LISTEN_PORT", flag: "http-tunnel-listen-port", def: "7777", help: "where heartbeats are taken", set: count(&c.httpPort)},
		{env: "HTTP_TUNNEL_ALLOWED_CIDRS", flag: "http-tunnel-allowed-cidrs", help: "networks that bases may be in although loopback, link-local and own addresses are refused", set: prefixes(&h.Allowed)},
		{env: "HTTP_TUNNEL_TOKEN_FILE", flag: "http-tunnel-token-file", help: "file with a bearer token that heartbeats must carry", set: text(&h.TokenFile)},
		{env: "HTTP_TUNNEL_TIMEOUT", flag: "http-tunnel-timeout", def: "10s", help: "bounds one request to a base", set: duration(&h.Timeout)},
		{env: "HTTP_TUNNEL_INSTALL_TIMEOUT", flag: "http-tunnel-install-timeout", def: "10m", help: "how long an install is asked about", set: duration(&h.InstallTimeout)},
	}
}

func ownership(c *config) []setting {
	e := &c.election
	return []setting{
		{env: "LEASE_DURATION", flag: "lease-duration", def: "40s", help: "duration written into a base's Lease", set: duration(&e.Duration)},
		{env: "LEASE_RENEW_INTERVAL", flag: "lease-renew-interval", def: "20s", help: "how often a base's Lease is renewed", set: duration(&e.Renew)},
		{env: "LEASE_WORKERS", flag: "lease-workers", def: "16", help: "Leases of bases written at a time", set: count(&e.Workers)},
		{env: "MEMBER_LEASE_DURATION", flag: "member-lease-duration", def: "10s", help: "how long a replica's own Lease may stay unchanged, and a second more, before others take its bases", set: duration(&e.MemberDuration)},
		{env: "MEMBER_RENEW_INTERVAL", flag: "member-renew-interval", def: "1s", help: "how often a replica's own Lease is renewed", set: duration(&e.MemberRenew)},
		{env: "ACT_WINDOW", flag: "act-window", def: "3500ms", help: "how long one renewal of its own Lease lets a replica act", set: duration(&e.RenewDeadline)},
		{env: "SETTLE_TIME", flag: "settle-time", def: "10s", help: "how long the members must be the same before bases move between live ones", set: duration(&e.Settle)},
		{env: "DRAIN_TIMEOUT", flag: "drain-timeout", def: "25s", help: "how long the handing over of all bases may take at the end", set: duration(&e.Drain)},
		{env: "NODE_MONITOR_GRACE", flag: "node-monitor-grace", def: "50s", help: "the cluster's node-monitor-grace-period, into which a failover must fit; 40s before Kubernetes 1.32, where 400 bases a replica fit", set: duration(&e.Grace)},
		{env: "BASES_PER_REPLICA", flag: "bases-per-replica", def: "500", help: "bases of one replica for which a failover must fit into it", set: count(&e.Bases)},
	}
}

func behaviour(c *config) []setting {
	p := &c.provider
	return []setting{
		{env: "VNODE_WORKER_NUM", flag: "vnode-worker-num", def: "16", help: "bases worked on at a time", set: count(&p.Workers)},
		{env: "STALE_AFTER", flag: "stale-after", def: "40s", help: "silence after which a Node turns NotReady", set: duration(&p.StaleAfter)},
		{env: "ANSWER_AFTER", flag: "answer-after", def: "90s", help: "how long a base that is heard may leave all requests unanswered before its Node turns NotReady", set: duration(&p.AnswerAfter)},
		{env: "GONE_AFTER", flag: "gone-after", def: "10m", help: "silence after which a Node is deleted", set: duration(&p.GoneAfter)},
		{env: "LINK_GRACE", flag: "link-grace", def: "150s", help: "how long after our own link came back no base ages", set: duration(&p.LinkGrace)},
		{env: "LIST_INTERVAL", flag: "list-interval", def: "8s", help: "how often a base's module list is read", set: duration(&p.ListEvery)},
		{env: "HEALTH_INTERVAL", flag: "health-interval", def: "1m", help: "how often a base's health is read", set: duration(&p.HealthEvery)},
		{env: "NODE_STATUS_INTERVAL", flag: "node-status-interval", def: "5m", help: "how often a Node's status is written when nothing differs", set: duration(&p.NodeEvery)},
		{env: "COMMANDS_PER_BASE", flag: "commands-per-base", def: "3", help: "commands under way on one base", set: count(&p.CommandsPerBase)},
		{env: "REMEMBERED", flag: "remembered", def: "4096", help: "entries kept of failures and bases that are no more", set: count(&p.Remembered)},
		{env: "DEFAULT_METASPACE", flag: "default-metaspace", def: "1Gi", help: "a Node's memory where the base has no metaspace limit", set: quantity(&p.Node.DefaultMetaspace)},
		{env: "PODS_PER_NODE", flag: "pods-per-node", def: "110", help: "pod capacity of a Node", set: count64(&p.Node.Pods)},
		{env: "CPUS_PER_NODE", flag: "cpus-per-node", def: "8", help: "cpu capacity of a Node whose base does not tell its processors", set: count64(&p.Node.CPUs)},
		{env: "UNWANTED_MODULES", flag: "unwanted-modules", def: "report", help: "what to do with modules that no pod asks for and this controller did not install: report or uninstall", set: policy(&p.Plan.Policy)},
		{env: "UNWANTED_GRACE", flag: "unwanted-grace", def: "10s", help: "how long a module stays after it lost its pod without a graceful deletion", set: duration(&p.Plan.Grace)},
		{env: "ANSWER_TIMEOUT", flag: "answer-timeout", def: "1m", help: "how long an unanswered command is believed to be under way", set: duration(&p.Plan.AnswerTimeout)},
		{env: "BACKOFF_FIRST", flag: "backoff-first", def: "10s", help: "pause after a failed install, doubled with each failure", set: duration(&p.Plan.BackOffFirst)},
		{env: "BACKOFF_MAX", flag: "backoff-max", def: "5m", help: "the longest such pause", set: duration(&p.Plan.BackOffMax)},
		{env: "MAX_CONTAINERS", flag: "max-containers", def: "64", help: "modules in one pod", set: count(&p.Plan.MaxContainers)},
	}
}

// accepted are names that other controllers have and whose features this version
// has not. Asking for one is no fault; it is said at the start.
func accepted(c *config) []setting {
	without := func(env string) setting {
		name := strings.ReplaceAll(strings.ToLower(env), "_", "-")
		return setting{env: env, flag: name, help: "accepted for compatibility; has no effect in this version", set: func(v string) error {
			if v != "" && v != "false" && v != "0" {
				c.ignored = append(c.ignored, env)
			}
			return nil
		}}
	}
	var all []setting
	for _, env := range []string{"NAMESPACE", "IS_CLUSTER", "WORKLOAD_MAX_LEVEL", "ENABLE_MODULE_DEPLOYMENT_CONTROLLER",
		"ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE", "KUBELET_PROXY_ENABLED", "KUBELET_PROXY_PORT", "REPORT_HOOKS"} {
		all = append(all, without(env))
	}
	return all
}

func text(to *string) func(string) error { return func(v string) error { *to = v; return nil } }

func list(to *[]string) func(string) error {
	return func(v string) error {
		*to = nil
		for part := range strings.SplitSeq(v, ",") {
			part = strings.ToLower(strings.TrimSpace(part)) // bases write it in lower case
			if part == "" || slices.Contains(*to, part) {
				return fmt.Errorf("want different names separated by commas")
			}
			*to = append(*to, part)
		}
		return nil
	}
}

func boolean(to *bool) func(string) error {
	return func(v string) (err error) {
		if *to, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("want true or false")
		}
		return nil
	}
}

func count64(to *int64) func(string) error {
	return func(v string) (err error) {
		if v == "" {
			return nil
		}
		if *to, err = strconv.ParseInt(v, 10, 32); err != nil || *to <= 0 {
			return fmt.Errorf("want a whole number above 0")
		}
		return nil
	}
}

func count(to *int) func(string) error {
	return func(v string) error {
		n := int64(*to)
		err := count64(&n)(v)
		*to = int(n)
		return err
	}
}

func number(to *float64) func(string) error {
	return func(v string) (err error) {
		if *to, err = strconv.ParseFloat(v, 64); err != nil || *to <= 0 {
			return fmt.Errorf("want a number above 0")
		}
		return nil
	}
}

func duration(to *time.Duration) func(string) error {
	return func(v string) (err error) {
		if *to, err = time.ParseDuration(v); err != nil || *to <= 0 {
			return fmt.Errorf("want a duration above 0, such as 40s or 5m")
		}
		return nil
	}
}

func quantity(to *int64) func(string) error {
	return func(v string) error {
		q, err := resource.ParseQuantity(v)
		if err != nil || q.Value() <= 0 {
			return fmt.Errorf("want a size, such as 512Mi")
		}
		*to = q.Value()
		return nil
	}
}

func prefixes(to *[]netip.Prefix) func(string) error {
	return func(v string) error {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			p, err := netip.ParsePrefix(part)
			if err != nil {
				return fmt.Errorf("want networks such as 10.0.0.0/8, separated by commas: %w", err)
			}
			*to = append(*to, p)
		}
		return nil
	}
}

func oneOf(to *string, words ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		*to = v
		return nil
	}
}

func policy(to *plan.Policy) func(string) error {
	return func(v string) error {
		return oneOf((*string)(to), string(plan.PolicyReport), string(plan.PolicyUninstall))(v)
	}
}

func level(to *string) func(string) error {
	return func(v string) error {
		if _, err := zapcore.ParseLevel(v); err != nil {
			return fmt.Errorf("want debug, info, warn or error")
		}
		*to = v
		return nil
	}
}

// printSettings writes the reference of settings as Markdown.
func printSettings(w io.Writer) error {
	_, err := fmt.Fprint(w, "# Configuration\n\nEvery setting is an environment variable and a flag; the flag wins. "+
		"Durations are written as 40s or 5m, sizes as 512Mi. What cannot work keeps the program from starting, and all faults are named at once. "+
		"This page is made by `make generate`.\n\n| environment | flag | default | what it is |\n|---|---|---|---|\n")
	for _, s := range settings(&config{}) {
		if err == nil {
			_, err = fmt.Fprintf(w, "| `%s` | `--%s` | %s | %s |\n", s.env, s.flag, s.def, s.help)
		}
	}
	return err
}
