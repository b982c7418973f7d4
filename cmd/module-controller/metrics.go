package main

import (
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"module-controller/election"
	"module-controller/internal/events"
	"module-controller/provider"
	"module-controller/provider/scaler"
	"module-controller/provider/webhooks"
	"module-controller/shard"
	"module-controller/tunnel"
)

const prefix = "module_controller_"

// metrics implements the meters of the other rooms, and is one session's: its gauges
// are counted from what the session serves, so the next one begins with new ones. How many
// series there are has a bound, see vec.
type metrics struct {
	registry     *prometheus.Registry
	dropped      *vec[prometheus.Counter]
	events       *vec[prometheus.Counter] // that were dropped
	commands     *vec[prometheus.Observer]
	outcomes     *vec[prometheus.Counter]
	commanded    *vec[prometheus.Counter]
	writes       *vec[prometheus.Counter]
	syncs        *vec[prometheus.Observer]
	boundToReady prometheus.Histogram
	links        *vec[prometheus.Gauge]
	conflicts    prometheus.Counter
	moves        *vec[prometheus.Counter]
	expired      prometheus.Counter
	probes       *vec[prometheus.Counter]
	// insecure has each open door of the configuration, see risks.
	insecure       *vec[prometheus.Gauge]
	scrapesRefused *vec[prometheus.Counter]
	peersScaled    *vec[prometheus.Counter]
	hooked         *vec[prometheus.Counter]
	// vecs are those above that are no single metric.
	vecs []prometheus.Collector
}

// native has a histogram kept as a native one too, for who scrapes these: exact within a
// tenth, in no more than a hundred buckets.
func native(o prometheus.HistogramOpts) prometheus.HistogramOpts {
	o.NativeHistogramBucketFactor, o.NativeHistogramMaxBucketNumber, o.NativeHistogramMinResetDuration = 1.1, 100, time.Hour
	return o
}

func newMetrics() *metrics {
	counter := func(most int, name, help string, labels ...string) *vec[prometheus.Counter] {
		return counters(most, prefix+name, help, labels...)
	}
	m := &metrics{
		registry:       prometheus.NewRegistry(),
		dropped:        counter(58, "messages_dropped_total", "Messages from bases that were dropped, by tunnel and reason; peer_unauthorized: a connection to the peers' port whose key is no member's.", "tunnel", "reason"),
		events:         counter(5, "events_dropped_total", "Events that were not written, by reason; left_out: its base tells too much, queue_full: too many wait, repeated: its object told too often, refused: by the API server, unsent: the API server was not reached in two minutes.", "reason"),
		commands:       histograms(4, prefix+"command_duration_seconds", "Time until a command was sent (MQTT) or answered (HTTP), by tunnel and kind: command, or question, which changes nothing.", []float64{0.1, 1, 10}, "tunnel", "kind"),
		outcomes:       counter(16, "tunnel_commands_total", "What a tunnel was given, by kind (command, or question, which changes nothing) and what became of it there.", "tunnel", "kind", "outcome"),
		commanded:      counter(12, "commands_total", "Commands to bases, by verb and result; asked: sent, repeats too; done, failed: as the base's list shows then; lost: never answered, and nothing shows of it. What another replica began or ends is not counted.", "verb", "result"),
		writes:         counter(8, "api_writes_total", "Writes of Nodes, pod statuses, Leases and the scale of peer Deployments to the API server, by object and result; Events and the expiring of members are not counted.", "object", "result"),
		syncs:          histograms(2, prefix+"sync_duration_seconds", "Duration of one reconcile of a base, by result.", []float64{0.01, 1}, "result"),
		links:          gauges(2, prefix+"tunnel_up", "1 while this replica's link of the tunnel is up, else 0.", "tunnel"),
		conflicts:      prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "identity_conflicts_total", Help: "Bases found to share their identity with another live base."}),
		moves:          counter(4, "ownership_changes_total", "Ownership changes of this replica's bases, by how: claimed, transferred, released, lost.", "how"),
		probes:         counter(9, "probes_total", "Probes of modules, by probe_type (Startup, Readiness, Liveness) and result (successful, failed, unknown).", "probe_type", "result"),
		expired:        prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "members_expired_total", Help: "Silent members that this replica expired by emptying their Lease."}),
		insecure:       gauges(8, prefix+"insecure", "1 for each setting that leaves something open; the log and /readyz?verbose say what.", "setting"),
		scrapesRefused: counter(4, "scrapes_refused_total", "Requests for metrics that were refused, by reason: no_token, unauthorized, forbidden, unreviewed.", "reason"),
		peersScaled:    counter(2, "peer_deployments_scaled_total", "Changes of the replicas of peer Deployments, by direction: up, down.", "direction"),
		hooked:         counter(5, "webhooks_total", "Failed installs for each URL of REPORT_HOOKS, by result; sent, or dropped: queue_full: too many wait, refused: by its answer, unsent: it was not reached or failed, each of five times, ended: the session was over.", "result"),
		boundToReady: prometheus.NewHistogram(native(prometheus.HistogramOpts{
			Name: prefix + "bound_to_ready_seconds", Help: "Time from a pod's binding to its readiness; the API records both in whole seconds.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300},
		})),
	}
	m.vecs = []prometheus.Collector{m.dropped, m.events, m.commands, m.outcomes, m.commanded, m.writes, m.syncs, m.links, m.moves, m.probes, m.insecure, m.scrapesRefused, m.peersScaled, m.hooked}
	m.registry.MustRegister(m.vecs...)
	m.registry.MustRegister(m.conflicts, m.boundToReady, m.expired)
	return m
}

// process is the registry of the metrics of the Go runtime and of the process.
var process = func() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled(), collectors.WithGoCollectorRuntimeMetrics(
			collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/(gc/heap/live|memory/classes/total|memory/classes/heap/released):bytes$`)})))
	return r
}()

// watch adds the gauges that are counted when they are asked for.
func (m *metrics) watch(census func() provider.Census, owned func() shard.Census, health func() election.Health) {
	count := func(name, help string, value func(shard.Census) int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help},
			func() float64 { return float64(value(owned())) }))
	}
	count("bases_owned", "Bases whose Lease this replica holds.", func(c shard.Census) int { return c.Owned })
	count("bases_assigned", "Bases that are assigned to this replica.", func(c shard.Census) int { return c.Assigned })
	count("bases_misplaced", "Bases whose Lease this replica holds but that are assigned to another; they are handed over once the members have settled.", func(c shard.Census) int { return c.Misplaced })
	count("bases_foreign", "Bases that another installation or controller holds; this replica stands by.", func(c shard.Census) int { return c.Foreign })
	count("members", "Live replicas, as this one sees them.", func(c shard.Census) int { return c.Members })
	kept := func(name, help string, value func(election.Health) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, func() float64 { return value(health()) }))
	}
	kept("oldest_lease_seconds", "Age of the oldest Lease of this replica's bases; a Node turns NotReady at NODE_MONITOR_GRACE.", func(h election.Health) float64 { return h.OldestLease.Seconds() })
	kept("renewals_behind_seconds", "How long that renewal of a base's Lease is due that is due for longest; more than a few seconds warn of Nodes that turn NotReady.", func(h election.Health) float64 { return h.Behind.Seconds() })
	kept("new_bases_wait", "1 while bases without a Node wait, because renewals of Leases are behind, else 0; those that are refused for it are counted by messages_dropped_total, reason renewals_behind.", func(h election.Health) float64 { return one(h.NewWait) })
	kept("lease_renew_interval_seconds", "How often the Lease of a base is renewed; shorter than LEASE_RENEW_INTERVAL while a member takes longer than this one to know that another has failed.", func(h election.Health) float64 { return h.RenewEvery.Seconds() })
	kept("lease_workers", "Leases of bases that are written concurrently now; they grow with the need.", func(h election.Health) float64 { return float64(h.Workers) })
	kept("renew_deadline_seconds", "How long a renewal of this replica's own Lease keeps its claims valid now; it grows while the API server is slow.", func(h election.Health) float64 { return h.RenewDeadline.Seconds() })
	kept("watch_stalled", "1 while the watch of base Leases shows nothing of what changes, else 0.", func(h election.Health) float64 { return one(h.Stalled) })
	m.watches("member_leases", func() time.Duration { return health().MembersLag })
	m.watches("base_leases", func() time.Duration { return health().BasesLag })
	m.watches("nodes", func() time.Duration { return census().NodesLag })
	m.watches("pods", func() time.Duration { return census().PodsLag })
	kept("leases_refused", "1 while the API server refuses all requests for base Leases, else 0.", func(h election.Health) float64 { return one(h.Refused) })
	gauge := func(name, help string, labels prometheus.Labels, value func(provider.Census) int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value(census())) }))
	}
	gauge("bases", "Bases that this replica serves, by whether their Node is ready.", prometheus.Labels{"ready": "true"}, func(c provider.Census) int { return c.Ready })
	gauge("bases", "Bases that this replica serves, by whether their Node is ready.", prometheus.Labels{"ready": "false"}, func(c provider.Census) int { return c.NotReady })
	gauge("modules_serving", "Modules that the bases of this replica report as serving.", nil, func(c provider.Census) int { return c.Modules })
	gauge("modules_unmanaged", "Modules on the bases of this replica that no pod requests and that are left alone.", nil, func(c provider.Census) int { return c.Unmanaged })
	gauge("queue_depth", "Bases that wait for a worker.", nil, func(c provider.Census) int { return c.Queued })
}

// watches adds how far behind the watch of a resource is.
func (m *metrics) watches(resource string, lag func() time.Duration) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        prefix + "watch_lag_seconds",
		Help:        "How long ago the oldest write of this replica was answered that its own watch of the resource has not shown yet; 0 where it has shown all, and while this replica writes nothing of it.",
		ConstLabels: prometheus.Labels{"resource": resource},
	}, func() float64 { return lag().Seconds() }))
}

// follow adds what a running program makes of its files.
func (m *metrics) follow(l *live) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "config_refused",
		Help: "1 while the file of the configuration, or one that a setting names, was changed and cannot be used, so that the old one holds, else 0.",
	}, func() float64 { return one(l.isRefused()) }))
}

// maxScrapes bounds the requests for metrics that are answered at a time: each gathers all.
const maxScrapes = 4

func (m *metrics) handler(c *clientMetrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{m.registry, c.registry, few(process, ofProcess)}, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	return mux
}

// warnOf shows the open doors of the configuration.
func (m *metrics) warnOf(risks []risk) {
	for _, r := range risks {
		m.insecure.of(r.setting).Set(1)
	}
}

func result(failed bool) string {
	if failed {
		return "error"
	}
	return "ok"
}

func (m *metrics) Dropped(tunnel, reason string) { m.dropped.of(tunnel, reason).Inc() }

func (m *metrics) EventsDropped(reason string, n int) {
	m.events.of(reason).Add(float64(n))
}

func (m *metrics) Command(name string, v tunnel.Verb, outcome string, took time.Duration) {
	kind := "command"
	if v == tunnel.ListModules || v == tunnel.ReadHealth || v == tunnel.AnswerBaseline {
		kind = "question"
	}
	m.commands.of(name, kind).Observe(took.Seconds())
	m.outcomes.of(name, kind, outcome).Inc()
}

func (m *metrics) Commanded(verb, result string) { m.commanded.of(verb, result).Inc() }

func (m *metrics) Synced(took time.Duration, failed bool) {
	m.syncs.of(result(failed)).Observe(took.Seconds())
}

func (m *metrics) Wrote(object string, err error) {
	m.writes.of(object, result(err != nil)).Inc()
}

func (m *metrics) BoundToReady(took time.Duration) { m.boundToReady.Observe(took.Seconds()) }

func (m *metrics) Link(tunnel string, up bool) { m.links.of(tunnel).Set(one(up)) }

// one gives 1 for what is so, else 0.
func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *metrics) Probed(probe, result string) { m.probes.of(probe, result).Inc() }

func (m *metrics) PeersScaled(direction string) { m.peersScaled.of(direction).Inc() }

func (m *metrics) Hooked(result string) { m.hooked.of(result).Inc() }

func (m *metrics) Conflict() { m.conflicts.Inc() }

func (m *metrics) Moved(how string) { m.moves.of(how).Inc() }
func (m *metrics) Expired()         { m.expired.Inc() }

var (
	_ tunnel.Meter   = (*metrics)(nil)
	_ provider.Meter = (*metrics)(nil)
	_ election.Meter = (*metrics)(nil)
	_ events.Meter   = (*metrics)(nil)
	_ scaler.Meter   = (*metrics)(nil)
	_ webhooks.Meter = (*metrics)(nil)
)
