package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientgo "k8s.io/client-go/tools/metrics"
	"k8s.io/client-go/util/workqueue"
)

// clientMetrics are client-go's, under the names that Kubernetes' own programs give them. They
// are the process's: client-go takes one set. They are few, see maxSeries: the host is left out,
// for there is one, codes are classes, and how long an item took is told by other metrics.
type clientMetrics struct {
	registry *prometheus.Registry
	requests *vec[prometheus.Counter]
	took     *vec[prometheus.Observer]
	waited   *vec[prometheus.Observer]
	depth    *vec[prometheus.Gauge]
	adds     *vec[prometheus.Counter]
	retries  *vec[prometheus.Counter]
	queued   *vec[prometheus.Observer]
	open     *vec[prometheus.Gauge]
	warnings prometheus.Counter
	vecs     []prometheus.Collector // those above that are no single metric
}

// ofClient is the process's.
var ofClient = newClientMetrics()

func newClientMetrics() *clientMetrics {
	const methods, codes, queues = 5, 7, 3
	buckets := []float64{0.1, 1, 10}
	c := &clientMetrics{
		registry: prometheus.NewRegistry(),
		requests: counters(methods*codes, "rest_client_requests_total", "Requests to the API server, by method and the code of the answer, or its class (2xx, 4xx, 5xx) if it is not 403, 409 or 429; <error>: there was none.", "code", "method"),
		took:     histograms(2, "rest_client_request_duration_seconds", "Time until a request to the API server was answered, by verb: GET, or write for all others.", buckets, "verb"),
		waited:   histograms(1, "rest_client_rate_limiter_duration_seconds", "Time that a request waited for KUBE_API_QPS.", buckets),
		depth:    gauges(queues, "workqueue_depth", "What waits in a queue, by queue.", "name"),
		adds:     counters(queues, "workqueue_adds_total", "What was added to a queue.", "name"),
		retries:  counters(queues, "workqueue_retries_total", "What was tried again.", "name"),
		queued:   histograms(queues, "workqueue_queue_duration_seconds", "How long it waited.", buckets, "name"),
		open:     gauges(queues, "workqueue_unfinished_work_seconds", "How long what is under way has taken, summed: it grows where something is stuck.", "name"),
		warnings: prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "api_warnings_total", Help: "Warnings of the API server to this program's own requests; the log has them."}),
	}
	c.vecs = []prometheus.Collector{c.requests, c.took, c.waited, c.depth, c.adds, c.retries, c.queued, c.open}
	c.registry.MustRegister(c.vecs...)
	c.registry.MustRegister(c.warnings, beyond)
	return c
}

// install has client-go count here from now on: it is called before a client or a queue is
// made. Only the first call counts.
func (c *clientMetrics) install() {
	clientgo.Register(c.requestMetrics())
	workqueue.SetProvider(queues{c})
}

// requestMetrics are those of requests.
func (c *clientMetrics) requestMetrics() clientgo.RegisterOpts {
	return clientgo.RegisterOpts{
		RequestLatency:     latency(func(verb string) prometheus.Observer { return c.took.of(readsOrWrites(verb)) }),
		RateLimiterLatency: latency(func(string) prometheus.Observer { return c.waited.of() }),
		RequestResult:      results{c.requests},
	}
}

// latency says where times are observed, by verb. It implements client-go's LatencyMetric.
type latency func(verb string) prometheus.Observer

// Observe observes one time.
func (l latency) Observe(_ context.Context, verb string, _ url.URL, took time.Duration) {
	l(verb).Observe(took.Seconds())
}

func readsOrWrites(verb string) string {
	if verb == http.MethodGet {
		return verb
	}
	return "write"
}

type results struct{ *vec[prometheus.Counter] }

// Increment implements its ResultMetric.
func (r results) Increment(_ context.Context, code, method, _ string) {
	r.of(class(code), method).Inc()
}

// ownCodes are those that say more than their class: rights are missing, somebody else wrote,
// the API server has too much to do.
var ownCodes = []string{"403", "409", "429"}

// class gives the class of a code, or a code that is told.
func class(code string) string {
	if len(code) != len("2xx") || slices.Contains(ownCodes, code) {
		return code // also where there is no answer
	}
	return code[:1] + "xx"
}

// queues implements workqueue.MetricsProvider.
type queues struct{ c *clientMetrics }

func (q queues) NewDepthMetric(name string) workqueue.GaugeMetric {
	return q.c.depth.of(name)
}

func (q queues) NewAddsMetric(name string) workqueue.CounterMetric {
	return q.c.adds.of(name)
}

func (q queues) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return q.c.queued.of(name)
}

// unshown is a metric of a queue that is not shown.
type unshown struct{}

func (unshown) Observe(float64) {}
func (unshown) Set(float64)     {}

// NewWorkDurationMetric shows nothing: sync_duration_seconds of ours has it for bases, and in
// the other queues an item is a request.
func (q queues) NewWorkDurationMetric(string) workqueue.HistogramMetric { return unshown{} }

func (q queues) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return q.c.open.of(name)
}

// NewLongestRunningProcessorSecondsMetric shows nothing: what is stuck, the sum tells too.
func (q queues) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return unshown{}
}

func (q queues) NewRetriesMetric(name string) workqueue.CounterMetric {
	return q.c.retries.of(name)
}
