package main

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// vec has the metrics of one name, by the values of their labels. They are as many as there
// are values in the code, and no more whatever is counted: so the series of a replica have a
// bound. Its methods may be called from any goroutine.
type vec[M any] struct {
	prometheus.Collector
	with   func(values ...string) M
	labels int // how many
	most   int // metrics
	spare  M   // where what is beyond them is observed, and not shown

	mu    sync.Mutex
	known map[string]bool // by the values; mu guards it
}

// beyond counts what was counted under values for which there was no room.
var beyond = prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "uncounted_total", Help: "What no other metric shows, because more values of its labels came than it has room for; 0, unless the program is wrong."})

// of gives the metric of some values, one for each label in their order.
func (v *vec[M]) of(values ...string) M {
	if !v.room(values) {
		beyond.Inc()
		return v.spare
	}
	return v.with(values...)
}

// room says whether there is room for the metric of some values, and keeps it.
func (v *vec[M]) room(values []string) bool {
	key := strings.Join(values, "\x00")
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.known[key] && len(v.known) == v.most {
		return false
	}
	v.known[key] = true
	return true
}

func counters(most int, name, help string, labels ...string) *vec[prometheus.Counter] {
	o := prometheus.CounterOpts{Name: name, Help: help}
	v := prometheus.NewCounterVec(o, labels)
	return &vec[prometheus.Counter]{Collector: v, with: v.WithLabelValues, labels: len(labels), most: most, spare: prometheus.NewCounter(o), known: map[string]bool{}}
}

func gauges(most int, name, help string, labels ...string) *vec[prometheus.Gauge] {
	o := prometheus.GaugeOpts{Name: name, Help: help}
	v := prometheus.NewGaugeVec(o, labels)
	return &vec[prometheus.Gauge]{Collector: v, with: v.WithLabelValues, labels: len(labels), most: most, spare: prometheus.NewGauge(o), known: map[string]bool{}}
}

// histograms have three series more each than buckets.
func histograms(most int, name, help string, buckets []float64, labels ...string) *vec[prometheus.Observer] {
	o := native(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	v := prometheus.NewHistogramVec(o, labels)
	return &vec[prometheus.Observer]{Collector: v, with: v.WithLabelValues, labels: len(labels), most: most, spare: prometheus.NewHistogram(o), known: map[string]bool{}}
}

// ofProcess are the metrics of the Go runtime and of the process that tell how it does; the
// libraries have twice as many.
var ofProcess = []string{
	"go_gc_heap_live_bytes", "go_goroutines", "go_info", "go_memory_classes_heap_released_bytes", "go_memory_classes_total_bytes",
	"process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds",
}

// few gathers those of some names.
func few(g prometheus.Gatherer, names []string) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := g.Gather()
		return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !slices.Contains(names, f.GetName()) }), err
	})
}
