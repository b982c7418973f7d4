package main

import (
	"context"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientgo "k8s.io/client-go/tools/metrics"
	"k8s.io/client-go/util/workqueue"
)

// clientMetrics are client-go's, under the names that Kubernetes' own programs give them. They
// are the process's: client-go takes one set. The host is left out, for there is one, and
// there are few buckets: their number is bounded, see maxSeries.
type clientMetrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	waited   *prometheus.HistogramVec
	depth    *prometheus.GaugeVec
	adds     *prometheus.CounterVec
	retries  *prometheus.CounterVec
	queued   *prometheus.HistogramVec
	worked   *prometheus.HistogramVec
	open     *prometheus.GaugeVec
	longest  *prometheus.GaugeVec
}

// ofClient is the process's.
var ofClient = newClientMetrics()

func newClientMetrics() *clientMetrics {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(native(prometheus.HistogramOpts{Name: name, Help: help, Buckets: []float64{0.1, 1, 10}}), labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"name"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	c := &clientMetrics{
		registry: prometheus.NewRegistry(),
		requests: counter("rest_client_requests_total", "Requests to the API server, by method and the code of the answer; <error>: there was none.", "code", "method"),
		took:     histogram("rest_client_request_duration_seconds", "Time until a request to the API server was answered, by verb.", "verb"),
		waited:   histogram("rest_client_rate_limiter_duration_seconds", "Time that a request waited for KUBE_API_QPS."),
		depth:    gauge("workqueue_depth", "What waits in a queue, by queue."),
		adds:     counter("workqueue_adds_total", "What was added to a queue.", "name"),
		retries:  counter("workqueue_retries_total", "What was tried again.", "name"),
		queued:   histogram("workqueue_queue_duration_seconds", "How long it waited.", "name"),
		worked:   histogram("workqueue_work_duration_seconds", "How long it took.", "name"),
		open:     gauge("workqueue_unfinished_work_seconds", "How long what is under way has taken, summed: it grows where something is stuck."),
		longest:  gauge("workqueue_longest_running_processor_seconds", "How long that has taken which is under way for longest."),
	}
	c.registry.MustRegister(c.requests, c.took, c.waited, c.depth, c.adds, c.retries, c.queued, c.worked, c.open, c.longest)
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
		RequestLatency:     latency(func(verb string) prometheus.Observer { return c.took.WithLabelValues(verb) }),
		RateLimiterLatency: latency(func(string) prometheus.Observer { return c.waited.WithLabelValues() }),
		RequestResult:      results{c.requests},
	}
}

// latency says where times are observed, by verb. It implements client-go's LatencyMetric.
type latency func(verb string) prometheus.Observer

// Observe observes one time.
func (l latency) Observe(_ context.Context, verb string, _ url.URL, took time.Duration) {
	l(verb).Observe(took.Seconds())
}

type results struct{ *prometheus.CounterVec }

// Increment implements its ResultMetric.
func (r results) Increment(_ context.Context, code, method, _ string) {
	r.WithLabelValues(code, method).Inc()
}

// queues implements workqueue.MetricsProvider.
type queues struct{ c *clientMetrics }

func (q queues) NewDepthMetric(name string) workqueue.GaugeMetric {
	return q.c.depth.WithLabelValues(name)
}

func (q queues) NewAddsMetric(name string) workqueue.CounterMetric {
	return q.c.adds.WithLabelValues(name)
}

func (q queues) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return q.c.queued.WithLabelValues(name)
}

func (q queues) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return q.c.worked.WithLabelValues(name)
}

func (q queues) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return q.c.open.WithLabelValues(name)
}

func (q queues) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return q.c.longest.WithLabelValues(name)
}

func (q queues) NewRetriesMetric(name string) workqueue.CounterMetric {
	return q.c.retries.WithLabelValues(name)
}
