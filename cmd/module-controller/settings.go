package main

import (
	"slices"
	"strings"

	"module-controller/provider/plan"
	httptunnel "module-controller/tunnel/http"
)

// setting is one thing that can be configured, by flag, environment or file.
type setting struct {
	// env is its variable, field its place in the file, such as "mqtt.tls.caPath"; empty for
	// none.
	env, field, help string
	// was is the name before it was renamed, accepted for one version; empty for none.
	was     string
	secret  bool
	changes effect
	value   value
}

// effect is when a change of a setting has one.
type effect int

const (
	atRestart effect = iota
	// atOnce: the running program follows its configuration's file.
	atOnce
	// content: it names a file that the running program reads again; another name needs a
	// restart.
	content
	// atConnect: the next connection is made with it.
	atConnect
	// fileAtConnect: it names a file, which the next connection is made with as it is then.
	fileAtConnect
)

// flag is the setting's flag, without dashes.
func (s setting) flag() string { return flagOf(s.env) }

// names are the environment variables that set it.
func (s setting) names() []string {
	if s.was == "" {
		return []string{s.env}
	}
	return []string{s.env, s.was}
}

// namesFile says whether a setting names a file whose content is read again.
func (s setting) namesFile() bool { return s.changes == content || s.changes == fileAtConnect }

// follows says whether a running program follows another value of a setting.
func (s setting) follows() bool { return s.changes != atRestart && s.changes != content }

// ownPrefix begins variables whose names alone would not say whose they are.
const ownPrefix = "MODULE_CONTROLLER_"

func flagOf(env string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(env, ownPrefix)), "_", "-")
}

// group has the settings of one subject: a section of the help and of the reference.
type group struct {
	title string
	all   []setting
}

// groups are all settings, in the order of the reference.
func groups(c *config) []group {
	return []group{
		{"general", general(c)}, {"API server", clientConnection(c)}, {"log, metrics and health", observation(c)},
		{"MQTT tunnel", mqttSettings(c)}, {"HTTP tunnel", httpSettings(c)}, {"ownership", ownership(c)},
		{"bases", bases(c)}, {"admission of bases", admission(c)}, {"probes", probing(c)}, {"nodes", nodes(c)}, {"kubelet API", kubeletAPI(c)}, {"modules", modules(c)},
		{"peer Deployments", peerDeployments(c)}, {"webhooks", reportHooks(c)},
		{noEffectTitle, withoutEffect(c)},
	}
}

// settings are those of all groups.
func settings(c *config) (all []setting) {
	for _, g := range groups(c) {
		all = slices.Concat(all, g.all)
	}
	return all
}

func general(c *config) []setting {
	return []setting{
		{env: "MODULE_CONTROLLER_CONFIG", changes: content, help: "file with a configuration, of kind ModuleControllerConfiguration", value: text(&c.file)},
		{env: "ENV", field: "environments", help: "environments whose bases are served, separated by commas; DNS labels", value: list(&c.envs)},
		{env: "POD_NAME", field: "pod.name", help: "name of this replica; default: the host name", value: text(&c.podName)},
		{env: "POD_NAMESPACE", field: "pod.namespace", help: "namespace of this replica", value: text(&c.podNamespace)},
		{env: "POD_UID", field: "pod.uid", help: "UID of this pod; lets a restarted container take over its previous session without waiting", value: text(&c.podUID)},
		{env: "POD_IP", field: "pod.ip", help: "IP address of this pod, to which members forward HTTP heartbeats at PEER_LISTEN_PORT; without it none are forwarded to this replica", value: address(&c.podIP)},
	}
}

func clientConnection(c *config) []setting {
	return []setting{
		{env: "KUBECONFIG", field: "clientConnection.kubeconfig", help: "path of a kubeconfig file; default: the pod's service account", value: text(&c.kubeconfig)},
		{env: "KUBE_API_QPS", field: "clientConnection.qps", changes: atOnce, help: "requests per second to the API server, no fewer than the renewals of BASES_PER_REPLICA bases take", value: number(&c.qps)},
		{env: "KUBE_API_BURST", field: "clientConnection.burst", changes: atOnce, help: "burst of requests to the API server above that rate", value: count(&c.burst)},
	}
}

func observation(c *config) []setting {
	return []setting{
		{env: "LOG_LEVEL", field: "logging.level", changes: atOnce, help: "debug, info, warn or error", value: level(&c.logLevel)},
		{env: "LOG_FORMAT", field: "logging.format", help: "json or console", value: oneOf(&c.logFormat, "json", "console")},
		{env: "METRICS_BIND_ADDRESS", field: "metrics.bindAddress", help: "address on which /metrics, /fleet, /statusz, /flagz and /config are served; 0 to disable", value: listenAddress(&c.metricsAddress)},
		{env: "METRICS_AUTH", field: "metrics.auth", help: "who may read metrics and pages: kubernetes, whose bearer token the API server knows and who may get the path by its rules; or none, anybody; default: none where METRICS_BIND_ADDRESS is loopback, else kubernetes", value: oneOf(&c.metricsAuth, metricsAuthNone, metricsAuthKubernetes)},
		{env: "METRICS_CERT_PATH", field: "metrics.certPath", changes: content, help: "file with a certificate, with which metrics are served over TLS; read at each connect", value: text(&c.metricsTLS.cert)},
		{env: "METRICS_KEY_PATH", field: "metrics.keyPath", changes: content, help: "file with the key of METRICS_CERT_PATH, read at each connect", value: text(&c.metricsTLS.key)},
		{env: "PROFILING", field: "metrics.profiling", help: "serve /debug/pprof/ beside /metrics, to those who may get it; a profile tells what is in memory", value: boolean(&c.profiling)},
		{env: "TRACING_ENDPOINT", field: "tracing.endpoint", help: "URL of a collector that takes spans by OTLP over gRPC, such as https://collector:4317, or http://… without TLS; empty: no spans are made. Headers and certificates are set by OpenTelemetry's own variables, OTEL_EXPORTER_OTLP_…", value: text(&c.tracing.endpoint)},
		{env: "TRACING_SAMPLING_RATE_PER_MILLION", field: "tracing.samplingRatePerMillion", help: "of how many pods in a million a trace is made; by the pod's UID, so that all replicas agree", value: count(&c.tracing.ratePerMillion)},
		{env: "HEALTH_PROBE_BIND_ADDRESS", field: "health.bindAddress", help: "address on which /livez, also as /healthz, and /readyz are served, each with a path for each check; 0 to disable", value: listenAddress(&c.probeAddress)},
	}
}

func mqttSettings(c *config) []setting {
	m := &c.mqtt
	return []setting{
		{env: "ENABLE_MQTT_TUNNEL", field: "mqtt.enabled", help: "reach bases through an MQTT broker", value: boolean(&c.useMQTT)},
		{env: "MQTT_BROKER", field: "mqtt.broker", help: "broker host", value: text(&m.Broker)},
		{env: "MQTT_PORT", field: "mqtt.port", help: "broker port; the default with TLS is 8883", value: portNumber(&m.Port)},
		{env: "MQTT_USERNAME", field: "mqtt.username", changes: atConnect, help: "broker username", value: text(&m.Username)},
		{env: "MQTT_PASSWORD", field: "mqtt.password", changes: atConnect, help: "broker password", secret: true, value: text(&m.Password)},
		{env: "MQTT_PASSWORD_FILE", field: "mqtt.passwordFile", changes: fileAtConnect, help: "file with the broker password, read on each connect", value: text(&m.PasswordFile)},
		{env: "MQTT_CLIENT_PREFIX", field: "mqtt.clientPrefix", help: "prefix of the client ID, which ends with the incarnation of the session", value: text(&c.mqttPrefix)},
		{env: "CLIENT_ID", field: "mqtt.clientID", help: "complete client ID instead of a generated one; nobody else may use it, and it is not for several replicas: they disconnect a failed member by its client ID", value: text(&m.ClientID)},
		{env: "MQTT_TLS", field: "mqtt.tls.enabled", help: "use TLS and verify the broker's certificate; implied by MQTT_CA_PATH", value: boolean(&m.TLS)},
		{env: "MQTT_CA_PATH", field: "mqtt.tls.caPath", changes: content, help: "file with the CA certificates for the broker, read on each connect", value: text(&m.CAFile)},
		{env: "MQTT_CLIENT_CRT_PATH", field: "mqtt.tls.clientCertPath", changes: content, help: "file with the client certificate, read on each connect", value: text(&m.CertFile)},
		{env: "MQTT_CLIENT_KEY_PATH", field: "mqtt.tls.clientKeyPath", changes: content, help: "file with the key of the client certificate, read on each connect", value: text(&m.KeyFile)},
		{env: "MQTT_SERVER_NAME", field: "mqtt.tls.serverName", help: "server name in the broker's certificate; default: MQTT_BROKER", value: text(&m.ServerName)},
		{env: "MQTT_KEEP_ALIVE", field: "mqtt.keepAlive", help: "keep-alive interval of an idle connection", value: duration(&m.KeepAlive)},
		{env: "MQTT_WILDCARDS", field: "mqtt.wildcards", help: "subscribe to six filters per environment instead of one per base, for brokers that limit subscriptions", value: boolean(&m.Wildcards)},
		{env: "MQTT_MAX_PACKET", field: "mqtt.maxPacket", help: "size of the largest MQTT message that is read, with its topic; larger ones are dropped before memory is allocated for them", value: quantity(&m.MaxPacket)},
		{env: "MQTT_CLEAR_RETAINED", field: "mqtt.clearRetained", help: "delete commands that other controllers left retained at the broker", value: boolean(&m.ClearRetained)},
	}
}

func httpSettings(c *config) []setting {
	h := &c.http
	return []setting{
		{env: "ENABLE_HTTP_TUNNEL", field: "http.enabled", help: "receive heartbeats and send commands over HTTP; such bases belong to the first environment", value: boolean(&c.useHTTP)},
		{env: "HTTP_TUNNEL_LISTEN_PORT", field: "http.listenPort", help: "port on which heartbeats are received", value: port(&h.Listen)},
		{env: "PEER_LISTEN_PORT", field: "http.peerListenPort", help: "port on which members forward HTTP heartbeats to each other over TLS", value: port(&h.ListenPeers)},
		{env: "HTTP_TUNNEL_ALLOWED_CIDRS", field: "http.allowedCIDRs", help: "the only networks, separated by commas, that bases over HTTP may be in and that probes go to, loopback, link-local and own addresses included where they are in one; default: anywhere but there", value: prefixes(&h.Allowed)},
		{env: "HTTP_TUNNEL_DENIED_CIDRS", field: "http.deniedCIDRs", help: "networks, separated by commas, that bases over HTTP are never in and that probes never go to, whatever HTTP_TUNNEL_ALLOWED_CIDRS says; those of Services, the API server's address, POD_IP and what other replicas tell as theirs are denied without it", value: prefixes(&h.Denied)},
		{env: "HTTP_TUNNEL_AUTH", field: "http.auth", help: "what a heartbeat must prove of its sender: pod, that it comes from the Pod whose address it claims; token, by a service account's token for the audience module-controller; certificate, by a client certificate of the base's identity; address, that it comes from the address it claims, in HTTP_TUNNEL_ALLOWED_CIDRS, for bases outside the cluster; insecure-anyone, nothing: whoever reaches the port may be any base", value: oneOf(&h.Auth, httptunnel.Auths()...)},
		{env: "BASE_POD_SELECTOR", field: "http.basePods.selector", help: "label selector of the Pods that may be bases, with HTTP_TUNNEL_AUTH=pod or token", value: text(&c.workloads.Selector)},
		{env: "BASE_NAMESPACES", field: "http.basePods.namespaces", help: "namespaces, separated by commas, of the Pods that may be bases; default: all", value: list(&c.workloads.Namespaces)},
		{env: "FIND_BASE_PODS", field: "http.basePods.find", help: "ask the bases in Pods with the label base.koupleless.io/find=true, at port 1238 or that of the annotation base.koupleless.io/tunnel-port: those of runtimes that send no heartbeats over HTTP; needs HTTP_TUNNEL_AUTH=pod or token", value: boolean(&c.workloads.Find)},
		{env: "HTTP_TUNNEL_CERT_PATH", field: "http.tls.certPath", changes: content, help: "file with the certificate with which heartbeats are received over TLS, read again when it changes", value: text(&h.CertFile)},
		{env: "HTTP_TUNNEL_KEY_PATH", field: "http.tls.keyPath", changes: content, help: "file with the key of HTTP_TUNNEL_CERT_PATH, read again when it changes", value: text(&h.KeyFile)},
		{env: "HTTP_TUNNEL_CLIENT_CA_PATH", field: "http.tls.clientCAPath", changes: content, help: "file with the CA certificates for the client certificates of bases, read again when it changes", value: text(&h.ClientCAFile)},
		{env: "HTTP_TUNNEL_MAX_CONNECTIONS", field: "http.maxConnections", help: "connections to HTTP_TUNNEL_LISTEN_PORT at a time", value: count(&h.MaxConnections)},
		{env: "HTTP_TUNNEL_CONNECTIONS_PER_ADDRESS", field: "http.connectionsPerAddress", help: "connections to HTTP_TUNNEL_LISTEN_PORT from one address at a time, fewer when there are many in all; with HTTP_TUNNEL_AUTH other than pod and address the default is 1024", value: count(&h.ConnectionsEach)},
		{env: "HTTP_TUNNEL_NEW_IDENTITIES", field: "http.newIdentities", changes: atOnce, help: "bases that one sender may add each second for which it did not speak before, 16 seconds' worth at once; with HTTP_TUNNEL_AUTH=insecure-anyone the default is 64", value: count(&h.NewIdentities)},
		{env: "HTTP_TUNNEL_MAX_IDENTITIES", field: "http.maxIdentities", changes: atOnce, help: "bases for which one Pod speaks at a time, or one address where no Pod is known; with HTTP_TUNNEL_AUTH=insecure-anyone the default is 4096", value: count(&h.MaxIdentities)},
		{env: "HTTP_TUNNEL_TOKEN_FILE", field: "http.tokenFile", changes: content, help: "file with a bearer token that heartbeats must carry too, whatever HTTP_TUNNEL_AUTH is", value: text(&h.TokenFile)},
		{env: "HTTP_TUNNEL_TIMEOUT", field: "http.timeout", help: "timeout of one request to a base", value: duration(&h.Timeout)},
		{env: "HTTP_TUNNEL_INSTALL_TIMEOUT", field: "http.installTimeout", help: "how long an install may take before it is no longer polled", value: duration(&h.InstallTimeout)},
	}
}

func ownership(c *config) []setting {
	e := &c.election
	return []setting{
		{env: "LEASE_DURATION", field: "ownership.leaseDuration", help: "duration written into the Lease of a base", value: duration(&e.Duration)},
		{env: "LEASE_RENEW_INTERVAL", field: "ownership.leaseRenewInterval", help: "interval at which the Lease of a base is renewed; default: the longest with which a failover of BASES_PER_REPLICA bases fits NODE_MONITOR_GRACE, and three quarters of LEASE_DURATION at most", value: duration(&e.Renew)},
		{env: "LEASE_WORKERS", field: "ownership.leaseWorkers", help: "number of base Leases written concurrently", value: count(&e.Workers)},
		{env: "MEMBER_LEASE_DURATION", field: "ownership.memberLeaseDuration", help: "duration written into a replica's own Lease; a member whose Lease stays unchanged for a second longer is expired, and others take its bases", value: duration(&e.MemberDuration)},
		{env: "MEMBER_RENEW_INTERVAL", field: "ownership.memberRenewInterval", help: "interval at which a replica renews its own Lease", value: duration(&e.MemberRenew)},
		{env: "RENEW_DEADLINE", field: "ownership.renewDeadline", was: "ACT_WINDOW", help: "how long a replica's claims are valid after a renewal of its own Lease", value: duration(&e.RenewDeadline)},
		{env: "SETTLE_TIME", field: "ownership.settleTime", help: "how long the members must stay the same before bases move between live ones", value: duration(&e.Settle)},
		{env: "DRAIN_TIMEOUT", field: "ownership.drainTimeout", help: "how long handing over all bases may take on shutdown", value: duration(&e.Drain)},
		{env: "NODE_MONITOR_GRACE", field: "ownership.nodeMonitorGrace", help: "the cluster's node-monitor-grace-period, into which a failover must fit; 40s before Kubernetes 1.32", value: duration(&e.Grace)},
		{env: "BASES_PER_REPLICA", field: "ownership.basesPerReplica", help: "expected bases per replica, which a failover must carry within NODE_MONITOR_GRACE: 100 a second are counted for that", value: count(&e.Bases)},
	}
}

func bases(c *config) []setting {
	p := &c.provider
	return []setting{
		{env: "VNODE_WORKER_NUM", field: "bases.workers", help: "number of bases reconciled concurrently", value: count(&p.Workers)},
		{env: "STALE_AFTER", field: "bases.staleAfter", help: "time without any message from a base after which its Node becomes NotReady", value: duration(&p.StaleAfter)},
		{env: "UNRESPONSIVE_AFTER", field: "bases.unresponsiveAfter", was: "ANSWER_AFTER", help: "how long a base that sends messages may leave every request unanswered before its Node becomes NotReady", value: duration(&p.UnresponsiveAfter)},
		{env: "GONE_AFTER", field: "bases.goneAfter", help: "time without any message from a base after which its Node is deleted", value: duration(&p.GoneAfter)},
		{env: "LINK_GRACE", field: "bases.linkGrace", help: "after this replica's own link is restored, how long the silence of bases does not count", value: duration(&p.LinkGrace)},
		{env: "LIST_INTERVAL", field: "bases.listInterval", help: "interval at which the module list of a base is read while something is uncertain: a command, a change, a pod that does not run, an answer that did not come", value: duration(&p.ListEvery)},
		{env: "QUIET_LIST_INTERVAL", field: "bases.quietListInterval", help: "interval at which the module list of a base is read at the latest while nothing is uncertain: how long it may take until it is noticed that a module ended by itself", value: duration(&p.QuietEvery)},
		{env: "QUESTION_RATE", field: "bases.questionRate", changes: atOnce, help: "questions a second to all bases of this replica that can wait; what is uncertain is asked beyond it, and each base at QUIET_LIST_INTERVAL", value: number(&p.QuestionRate)},
		{env: "HEALTH_INTERVAL", field: "bases.healthInterval", help: "interval at which the health of a base is read", value: duration(&p.HealthEvery)},
	}
}

func admission(c *config) []setting {
	a := &c.provider.Admission
	return []setting{
		{env: "MAX_BASES", field: "admission.maxBases", changes: atOnce, help: "bases that this replica knows at most, its own and those of other replicas; new ones beyond it are refused", value: count(&a.Total)},
		{env: "MAX_UNPROVEN_BASES", field: "admission.maxUnprovenBases", changes: atOnce, help: "bases at a time that were heard of and have not answered yet, for each tunnel, those of proved senders and of others apart; of more than 200 the rest waits, without a Lease, until others have answered", value: count(&a.Unproven)},
		{env: "NEW_BASES_PER_SECOND", field: "admission.newBasesPerSecond", changes: atOnce, help: "bases a second that are admitted which were not heard of before, counted as MAX_UNPROVEN_BASES is", value: number(&a.Rate)},
		{env: "NEW_BASES_BURST", field: "admission.newBasesBurst", changes: atOnce, help: "how many of them are admitted at once", value: count(&a.Burst)},
	}
}

func probing(c *config) []setting {
	p := &c.provider.Probes
	return []setting{
		{env: "PROBE_WORKERS", field: "probes.workers", help: "probes of modules that are made concurrently", value: count(&p.Workers)},
		{env: "PROBES_PER_BASE", field: "probes.perBase", help: "probes of the modules of one base that are made concurrently, fewer when many bases leave them unanswered", value: count(&p.PerBase)},
	}
}

func nodes(c *config) []setting {
	p := &c.provider
	return []setting{
		{env: "NODE_STATUS_INTERVAL", field: "nodes.statusInterval", help: "interval at which an unchanged Node status is written", value: duration(&p.NodeEvery)},
		{env: "DEFAULT_METASPACE", field: "nodes.defaultMetaspace", help: "memory capacity of a Node whose base has no metaspace limit", value: quantity(&p.Node.DefaultMetaspace)},
		{env: "EPHEMERAL_STORAGE_PER_NODE", field: "nodes.ephemeralStorage", help: "ephemeral storage that a Node shows; a base's disk is not measured", value: quantity(&p.Node.EphemeralStorage)},
		{env: "PODS_PER_NODE", field: "nodes.pods", help: "pod capacity of a Node", value: count(&p.Node.Pods)},
		{env: "CPUS_PER_NODE", field: "nodes.cpus", help: "CPU capacity of a Node whose base does not report its processors", value: count(&p.Node.CPUs)},
		{env: "NODE_MAX_MEMORY", field: "nodes.maxMemory", help: "memory capacity that a base is believed to have at most", value: quantity(&p.Node.MaxMemory)},
		{env: "NODE_MAX_CPUS", field: "nodes.maxCPUs", help: "CPU capacity that a base is believed to have at most", value: count(&p.Node.MaxCPUs)},
		{env: "VNODE_LABELS", field: "nodes.labels", help: "further labels of each Node, as key=value pairs separated by commas, such as topology.kubernetes.io/zone=a; zone and region of a base whose Pod is known, with HTTP_TUNNEL_AUTH=pod or token, are those of the Node that it runs on", value: pairs(&p.Node.Labels)},
	}
}

func kubeletAPI(c *config) []setting {
	k := &c.kubelet
	return []setting{
		{env: "KUBELET_PROXY_ENABLED", field: "kubelet.enabled", help: "serve the kubelet's API of Nodes, for kubectl logs, exec and top; needs POD_IP, which Nodes then show before their base's address", value: boolean(&k.enabled)},
		{env: "KUBELET_PROXY_PORT", field: "kubelet.port", help: "first of the ports at which it is served", value: count(&k.port)},
		{env: "KUBELET_PROXY_PORTS", field: "kubelet.ports", help: "how many ports from KUBELET_PROXY_PORT on are listened on: each Node of this replica has one, and those beyond have no kubelet's API", value: count(&k.ports)},
		{env: "KUBELET_PROXY_CERT_PATH", field: "kubelet.certPath", changes: content, help: "file with the certificate that is served, for POD_IP, read at each connect; default: one that nobody signed, as kubelets have that are given none", value: text(&k.tls.cert)},
		{env: "KUBELET_PROXY_KEY_PATH", field: "kubelet.keyPath", changes: content, help: "file with the key of KUBELET_PROXY_CERT_PATH, read at each connect", value: text(&k.tls.key)},
		{env: "KUBELET_PROXY_CLIENT_CA_PATH", field: "kubelet.clientCAPath", changes: content, help: "file with the CA certificates for client certificates, such as the API server's, read every minute; default: those that the API server tells in the ConfigMap kube-system/extension-apiserver-authentication", value: text(&k.clientCA)},
	}
}

func modules(c *config) []setting {
	p := &c.provider
	return []setting{
		{env: "COMMANDS_PER_BASE", field: "modules.commandsPerBase", help: "maximum number of commands in progress on one base", value: count(&p.CommandsPerBase)},
		{env: "HISTORY_LIMIT", field: "modules.historyLimit", was: "REMEMBERED", help: "number of entries kept of failed installs and of removed bases", value: count(&p.HistoryLimit)},
		{env: "SECRETS_OVER_HTTP", field: "modules.secretsOverHTTP", help: "whether modules whose environment refers to Secrets are installed on bases over HTTP, where whoever reads the pod network reads them: allow or forbid", value: oneOf(&p.Plan.SecretsOverHTTP, plan.SecretsAllow, plan.SecretsForbid)},
		{env: "UNMANAGED_MODULES", field: "modules.unmanaged", was: "UNWANTED_MODULES", help: "what to do with modules that no pod requests and this controller did not install: report or uninstall", value: oneOf(&p.Plan.Policy, plan.PolicyReport, plan.PolicyUninstall)},
		{env: "UNMANAGED_GRACE", field: "modules.unmanagedGrace", was: "UNWANTED_GRACE", help: "how long a module stays installed after it lost its pod without a graceful deletion", value: duration(&p.Plan.UnmanagedGrace)},
		{env: "COMMAND_TIMEOUT", field: "modules.commandTimeout", was: "ANSWER_TIMEOUT", help: "how long an unanswered command is assumed to be in progress", value: duration(&p.Plan.CommandTimeout)},
		{env: "BACKOFF_BASE", field: "modules.backoffBase", was: "BACKOFF_FIRST", help: "delay after a failed install, doubled with each failure", value: duration(&p.Plan.BackOffBase)},
		{env: "BACKOFF_MAX", field: "modules.backoffMax", help: "maximum delay after a failed install", value: duration(&p.Plan.BackOffMax)},
		{env: "MAX_CONTAINERS", field: "modules.maxContainers", help: "maximum number of modules in one pod", value: count(&p.Plan.MaxContainers)},
	}
}

func peerDeployments(c *config) []setting {
	return []setting{
		{env: "ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE", field: "peerDeployments.enabled", help: "give each Deployment of the strategy peer as many replicas as there are Ready bases that its pods may run on; needs the rights of manifests/peer-deployments", value: boolean(&c.scalesPeers)},
		{env: "PEER_SCALE_DOWN_AFTER", field: "peerDeployments.scaleDownAfter", help: "how long bases must be fewer before a peer Deployment loses replicas; longer than a restart of a base takes", value: duration(&c.scaling.After)},
	}
}

func reportHooks(c *config) []setting {
	w := &c.webhooks
	return []setting{
		{env: "REPORT_HOOKS", field: "webhooks.urls", help: "URLs, separated by commas, that are told when the install of a module fails", secret: true, value: urls(&w.URLs)},
		{env: "REPORT_HOOKS_SECRET_FILE", field: "webhooks.secretFile", changes: content, help: "file with the secret, of 16 bytes or more, that signs what REPORT_HOOKS are told; read each time", value: text(&w.SecretFile)},
		{env: "REPORT_HOOKS_ALLOW_HTTP", field: "webhooks.allowHTTP", help: "permit REPORT_HOOKS without TLS that are not on this host", value: boolean(&w.AllowHTTP)},
	}
}

const (
	noEffect      = "accepted for compatibility; has no effect in this version"
	noEffectTitle = "without effect"
)

// withoutEffect are names that other controllers have and whose features this version
// has not. Asking for one is no error; it is logged at start-up.
func withoutEffect(c *config) []setting {
	var all []setting
	for _, env := range []string{"NAMESPACE", "IS_CLUSTER", "WORKLOAD_MAX_LEVEL", "ENABLE_MODULE_DEPLOYMENT_CONTROLLER", "TRACKER_CONFIG_PATH"} {
		all = append(all, setting{env: env, help: noEffect, value: unsupported(&c.ignored, env)})
	}
	return all
}
