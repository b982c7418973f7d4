package kubelet

import (
	"context"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// look gives what is known of the request's Node.
func (s *Server) look(ctx context.Context) (View, error) {
	view, ok := s.bases.Look(nodeOf(ctx))
	if !ok {
		return View{}, fmt.Errorf("%s is not known here now: ask again", nodeOf(ctx))
	}
	return view, nil
}

// pods gives those that the API server has on the Node.
func (s *Server) pods(ctx context.Context) ([]*corev1.Pod, error) {
	view, err := s.look(ctx)
	return view.Pods, err
}

// running gives those whose modules the base serves.
func (s *Server) running(ctx context.Context) ([]*corev1.Pod, error) {
	view, err := s.look(ctx)
	return view.Running, err
}

// summary tells what the base uses. What a module uses of it nobody measures: they share a
// JVM.
func (s *Server) summary(ctx context.Context) (*stats.Summary, error) {
	view, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	sum := &stats.Summary{Node: stats.NodeStats{NodeName: view.Node.Name}}
	if h := view.Health; h != nil {
		at := metav1.NewTime(view.Told)
		sum.Node.StartTime = metav1.NewTime(view.Told.Add(-h.Uptime))
		sum.Node.CPU = &stats.CPUStats{
			Time: at, UsageNanoCores: new(uint64(h.CPUsInUse * 1e9)), UsageCoreNanoSeconds: new(uint64(view.CPUSeconds * 1e9)),
		}
		if h.UsedMemory >= 0 {
			sum.Node.Memory = memoryOf(at, h.MaxMemory, h.UsedMemory)
		}
	}
	for _, pod := range view.Pods {
		of := stats.PodStats{PodRef: stats.PodReference{Name: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID)}}
		if pod.Status.StartTime != nil {
			of.StartTime = *pod.Status.StartTime
		}
		for _, c := range pod.Spec.Containers {
			of.Containers = append(of.Containers, stats.ContainerStats{Name: c.Name, StartTime: startOf(pod, c.Name)})
		}
		sum.Pods = append(sum.Pods, of)
	}
	return sum, nil
}

// memoryOf tells of a metaspace, which is the memory that a VNode has. Without a limit nothing
// is told of what is left.
func memoryOf(at metav1.Time, limit, used int64) *stats.MemoryStats {
	m := &stats.MemoryStats{Time: at, UsageBytes: new(uint64(used)), WorkingSetBytes: new(uint64(used))}
	if limit >= used {
		m.AvailableBytes = new(uint64(limit - used))
	}
	return m
}

// startOf is when a container began to run; zero where it does not.
func startOf(pod *corev1.Pod, container string) metav1.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container && c.State.Running != nil {
			return c.State.Running.StartedAt
		}
	}
	return metav1.Time{}
}

// resources tells the same as metrics. What nobody measures of a module is 0, which
// metrics-server takes for missing.
func (s *Server) resources(ctx context.Context) ([]*dto.MetricFamily, error) {
	view, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	nodeCPU := counter("node_cpu_usage_seconds_total", "Time that processors were in use where the base runs, by whatever ran there")
	nodeMemory := gauge("node_memory_working_set_bytes", "Metaspace of the base in use, in bytes")
	podCPU := counter("pod_cpu_usage_seconds_total", "Not measured: modules share a JVM")
	podMemory := gauge("pod_memory_working_set_bytes", "Not measured: modules share a JVM")
	cpu := counter("container_cpu_usage_seconds_total", "Not measured: modules share a JVM")
	memory := gauge("container_memory_working_set_bytes", "Not measured: modules share a JVM")
	started := gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds")
	scrape := gauge("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise")
	scrape.add(0, 0)
	if h := view.Health; h != nil {
		at := view.Told.UnixMilli()
		nodeCPU.add(view.CPUSeconds, at)
		if h.UsedMemory >= 0 {
			nodeMemory.add(float64(h.UsedMemory), at)
		}
	}
	for _, pod := range view.Pods {
		podCPU.add(0, 0, "namespace", pod.Namespace, "pod", pod.Name)
		podMemory.add(0, 0, "namespace", pod.Namespace, "pod", pod.Name)
		for _, c := range pod.Spec.Containers {
			labels := []string{"container", c.Name, "pod", pod.Name, "namespace", pod.Namespace}
			cpu.add(0, 0, labels...)
			memory.add(0, 0, labels...)
			if at := startOf(pod, c.Name); !at.IsZero() {
				started.add(float64(at.Unix()), 0, labels...)
			}
		}
	}
	var all []*dto.MetricFamily
	for _, f := range []*family{nodeCPU, nodeMemory, podCPU, podMemory, cpu, memory, started, scrape} {
		if len(f.Metric) > 0 {
			all = append(all, &f.MetricFamily)
		}
	}
	return all, nil
}

// family is a metric with its samples.
type family struct{ dto.MetricFamily }

func counter(name, help string) *family { return newFamily(name, help, dto.MetricType_COUNTER) }
func gauge(name, help string) *family   { return newFamily(name, help, dto.MetricType_GAUGE) }

func newFamily(name, help string, is dto.MetricType) *family {
	return &family{dto.MetricFamily{Name: &name, Help: &help, Type: &is}}
}

// add adds a sample, of a time in milliseconds unless that is 0, with labels by name and value.
func (f *family) add(value float64, at int64, labels ...string) {
	m := &dto.Metric{}
	for i := 0; i < len(labels); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	if at > 0 {
		m.TimestampMs = &at
	}
	if f.GetType() == dto.MetricType_COUNTER {
		m.Counter = &dto.Counter{Value: &value}
	} else {
		m.Gauge = &dto.Gauge{Value: &value}
	}
	f.Metric = append(f.Metric, m)
}
