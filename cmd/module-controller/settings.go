package main

import (
	"slices"
	"strings"

	"module-controller/provider/plan"
)

// setting is one thing that can be configured, by environment or by flag.
type setting struct {
	env, help string
	// was is the name before it was renamed, accepted for one version; empty for none.
	was    string
	secret bool
	value  value
}

// flag is the setting's flag, without dashes.
func (s setting) flag() string { return flagOf(s.env) }

// names are the environment variables that set it.
func (s setting) names() []string {
	if s.was == "" {
		return []string{s.env}
	}
	return []string{s.env, s.was}
}

func flagOf(env string) string { return strings.ReplaceAll(strings.ToLower(env), "_", "-") }

// settings are all settings, in the order of the reference.
func settings(c *config) []setting {
	return slices.Concat(general(c), mqttSettings(c), httpSettings(c), ownership(c), behaviour(c), withoutEffect(c))
}

func general(c *config) []setting {
	return []setting{
		{env: "ENV", help: "environments whose bases are served, separated by commas; DNS labels", value: list(&c.envs)},
		{env: "POD_NAME", help: "this replica's name; default: the host's", value: text(&c.podName)},
		{env: "POD_NAMESPACE", help: "this replica's namespace", value: text(&c.podNamespace)},
		{env: "POD_UID", help: "this pod's UID: a container that is started again need not wait for its own last life to be over", value: text(&c.podUID)},
		{env: "POD_IP", help: "this pod's address, where members pass HTTP heartbeats on to; without it none are passed on to this replica", value: text(&c.podIP)},
		{env: "KUBECONFIG", help: "a kubeconfig file; default: the pod's service account", value: text(&c.kubeconfig)},
		{env: "KUBE_API_QPS", help: "requests a second to the API server", value: number(&c.qps)},
		{env: "KUBE_API_BURST", help: "requests to the API server at once, above the rate", value: count(&c.burst)},
		{env: "LOG_LEVEL", help: "debug, info, warn or error", value: level(&c.logLevel)},
		{env: "LOG_FORMAT", help: "json or console", value: oneOf(&c.logFormat, "json", "console")},
		{env: "METRICS_BIND_ADDRESS", help: "where /metrics is served; 0 for nowhere", value: text(&c.metricsAddress)},
		{env: "HEALTH_PROBE_BIND_ADDRESS", help: "where /livez and /readyz are served; 0 for nowhere", value: text(&c.probeAddress)},
	}
}

func mqttSettings(c *config) []setting {
	m := &c.mqtt
	return []setting{
		{env: "ENABLE_MQTT_TUNNEL", help: "reach bases through an MQTT broker", value: boolean(&c.useMQTT)},
		{env: "MQTT_BROKER", help: "the broker's host", value: text(&m.Broker)},
		{env: "MQTT_PORT", help: "the broker's port; with TLS the default is 8883", value: count(&m.Port)},
		{env: "MQTT_USERNAME", help: "user at the broker", value: text(&m.Username)},
		{env: "MQTT_PASSWORD", help: "password at the broker", secret: true, value: text(&m.Password)},
		{env: "MQTT_PASSWORD_FILE", help: "file with the password, read at each connect", value: text(&m.PasswordFile)},
		{env: "MQTT_CLIENT_PREFIX", help: "begins the client id, which ends in this life of this replica", value: text(&c.mqttPrefix)},
		{env: "CLIENT_ID", help: "the whole client id, instead of one that is made; nobody else may use it, so not for several replicas: they end a dead one's connection by its client id", value: text(&m.ClientID)},
		{env: "MQTT_TLS", help: "encrypt and verify the broker; on by itself when MQTT_CA_PATH is set", value: boolean(&m.TLS)},
		{env: "MQTT_CA_PATH", help: "file with the authorities for the broker's certificate, read at each connect", value: text(&m.CAFile)},
		{env: "MQTT_CLIENT_CRT_PATH", help: "file with the client certificate, read at each connect", value: text(&m.CertFile)},
		{env: "MQTT_CLIENT_KEY_PATH", help: "file with the client certificate's key", value: text(&m.KeyFile)},
		{env: "MQTT_SERVER_NAME", help: "the name in the broker's certificate; default: MQTT_BROKER", value: text(&m.ServerName)},
		{env: "MQTT_KEEP_ALIVE", help: "how often an idle connection is tried", value: duration(&m.KeepAlive)},
		{env: "MQTT_WILDCARDS", help: "use six filters an environment instead of one a base, for brokers that allow few", value: boolean(&m.Wildcards)},
		{env: "MQTT_CLEAR_RETAINED", help: "delete commands that other controllers left retained at the broker", value: boolean(&m.ClearRetained)},
	}
}

func httpSettings(c *config) []setting {
	h := &c.http
	return []setting{
		{env: "ENABLE_HTTP_TUNNEL", help: "take heartbeats of bases over HTTP and command them there; such bases belong to the first environment", value: boolean(&c.useHTTP)},
		{env: "HTTP_TUNNEL_LISTEN_PORT", help: "where heartbeats are taken", value: port(&h.Listen)},
		{env: "HTTP_TUNNEL_ALLOWED_CIDRS", help: "networks that bases may be in although loopback, link-local and own addresses are refused", value: prefixes(&h.Allowed)},
		{env: "HTTP_TUNNEL_TOKEN_FILE", help: "file with a bearer token that heartbeats must carry", value: text(&h.TokenFile)},
		{env: "HTTP_TUNNEL_TIMEOUT", help: "bounds one request to a base", value: duration(&h.Timeout)},
		{env: "HTTP_TUNNEL_INSTALL_TIMEOUT", help: "how long an install is asked about", value: duration(&h.InstallTimeout)},
	}
}

func ownership(c *config) []setting {
	e := &c.election
	return []setting{
		{env: "LEASE_DURATION", help: "duration written into a base's Lease", value: duration(&e.Duration)},
		{env: "LEASE_RENEW_INTERVAL", help: "how often a base's Lease is renewed", value: duration(&e.Renew)},
		{env: "LEASE_WORKERS", help: "Leases of bases written at a time", value: count(&e.Workers)},
		{env: "MEMBER_LEASE_DURATION", help: "how long a replica's own Lease may stay unchanged, and a second more, before others take its bases", value: duration(&e.MemberDuration)},
		{env: "MEMBER_RENEW_INTERVAL", help: "how often a replica's own Lease is renewed", value: duration(&e.MemberRenew)},
		{env: "RENEW_DEADLINE", was: "ACT_WINDOW", help: "how long one renewal of its own Lease lets a replica act", value: duration(&e.Act)},
		{env: "SETTLE_TIME", help: "how long the members must be the same before bases move between live ones", value: duration(&e.Settle)},
		{env: "DRAIN_TIMEOUT", help: "how long the handing over of all bases may take at the end", value: duration(&e.Drain)},
		{env: "NODE_MONITOR_GRACE", help: "the cluster's node-monitor-grace-period, into which a failover must fit; 40s before Kubernetes 1.32, where 400 bases a replica fit", value: duration(&e.Grace)},
		{env: "BASES_PER_REPLICA", help: "bases of one replica for which a failover must fit into it", value: count(&e.Bases)},
	}
}

func behaviour(c *config) []setting {
	p := &c.provider
	return []setting{
		{env: "VNODE_WORKER_NUM", help: "bases worked on at a time", value: count(&p.Workers)},
		{env: "STALE_AFTER", help: "silence after which a Node turns NotReady", value: duration(&p.StaleAfter)},
		{env: "UNRESPONSIVE_AFTER", was: "ANSWER_AFTER", help: "how long a base that is heard may leave all requests unanswered before its Node turns NotReady", value: duration(&p.AnswerAfter)},
		{env: "GONE_AFTER", help: "silence after which a Node is deleted", value: duration(&p.GoneAfter)},
		{env: "LINK_GRACE", help: "how long after our own link came back no base ages", value: duration(&p.LinkGrace)},
		{env: "LIST_INTERVAL", help: "how often a base's module list is read", value: duration(&p.ListEvery)},
		{env: "HEALTH_INTERVAL", help: "how often a base's health is read", value: duration(&p.HealthEvery)},
		{env: "NODE_STATUS_INTERVAL", help: "how often a Node's status is written when nothing differs", value: duration(&p.NodeEvery)},
		{env: "COMMANDS_PER_BASE", help: "commands under way on one base", value: count(&p.CommandsPerBase)},
		{env: "HISTORY_LIMIT", was: "REMEMBERED", help: "entries kept of failures and bases that are no more", value: count(&p.Remembered)},
		{env: "DEFAULT_METASPACE", help: "a Node's memory where the base has no metaspace limit", value: quantity(&p.Node.DefaultMetaspace)},
		{env: "PODS_PER_NODE", help: "pod capacity of a Node", value: count(&p.Node.Pods)},
		{env: "CPUS_PER_NODE", help: "cpu capacity of a Node whose base does not tell its processors", value: count(&p.Node.CPUs)},
		{env: "UNMANAGED_MODULES", was: "UNWANTED_MODULES", help: "what to do with modules that no pod asks for and this controller did not install: report or uninstall", value: oneOf(&p.Plan.Policy, plan.PolicyReport, plan.PolicyUninstall)},
		{env: "UNMANAGED_GRACE", was: "UNWANTED_GRACE", help: "how long a module stays after it lost its pod without a graceful deletion", value: duration(&p.Plan.Grace)},
		{env: "COMMAND_TIMEOUT", was: "ANSWER_TIMEOUT", help: "how long an unanswered command is believed to be under way", value: duration(&p.Plan.AnswerTimeout)},
		{env: "BACKOFF_BASE", was: "BACKOFF_FIRST", help: "pause after a failed install, doubled with each failure", value: duration(&p.Plan.BackOffFirst)},
		{env: "BACKOFF_MAX", help: "the longest such pause", value: duration(&p.Plan.BackOffMax)},
		{env: "MAX_CONTAINERS", help: "modules in one pod", value: count(&p.Plan.MaxContainers)},
	}
}

// withoutEffect are names that other controllers have and whose features this version
// has not. Asking for one is no error; it is logged at start-up.
func withoutEffect(c *config) []setting {
	var all []setting
	for _, env := range []string{"NAMESPACE", "IS_CLUSTER", "WORKLOAD_MAX_LEVEL", "ENABLE_MODULE_DEPLOYMENT_CONTROLLER",
		"ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE", "KUBELET_PROXY_ENABLED", "KUBELET_PROXY_PORT", "REPORT_HOOKS"} {
		all = append(all, setting{env: env, help: "accepted for compatibility; has no effect in this version", value: unsupported(&c.ignored, env)})
	}
	return all
}
