package kubelet

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"module-controller/tunnel"
)

// told makes the base of a world tell its health.
func (w *world) told(h *tunnel.Health, cpuSeconds float64) {
	v := w.bases.views[shopNode]
	v.Health, v.Told, v.CPUSeconds = h, time.UnixMilli(1_900_000_000_500), cpuSeconds
	v.Pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "stock", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(1_800_000_000, 0)}}}}
	w.bases.views[shopNode] = v
	w.users["scraper"] = user{[]string{"get stats", "get metrics", "get pods"}}
}

// The metrics are those that metrics-server reads of a kubelet: with the time at which the base
// told them, and nothing where it told nothing.
func TestResourceMetrics(t *testing.T) {
	w := newWorld(t)
	w.told(&tunnel.Health{MaxMemory: 256, UsedMemory: 70, CPUsInUse: 0.5}, 12.5)
	got := request(w, 10250, http.MethodGet, "/metrics/resource", tokenOf("scraper")).Body.String()
	for _, line := range []string{
		"node_cpu_usage_seconds_total 12.5 1900000000500",
		"node_memory_working_set_bytes 70 1900000000500",
		`pod_cpu_usage_seconds_total{namespace="orders",pod="stock"} 0`,
		`container_memory_working_set_bytes{container="stock",pod="stock",namespace="orders"} 0`,
		`container_start_time_seconds{container="stock",pod="stock",namespace="orders"} 1.8e+09`,
		"resource_scrape_error 0",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("%s is not in:\n%s", line, got)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(got)); err != nil {
		t.Error(err)
	}
	for name, h := range map[string]*tunnel.Health{"no health": nil, "no metaspace": {UsedMemory: -1}} {
		w.told(h, 1)
		got := request(w, 10250, http.MethodGet, "/metrics/resource", tokenOf("scraper")).Body.String()
		if strings.Contains(got, "node_memory") || strings.Contains(got, "node_cpu") != (h != nil) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// The summary tells the same, and of a module's container that it is there.
func TestStatsSummary(t *testing.T) {
	w := newWorld(t)
	w.told(&tunnel.Health{MaxMemory: 256, UsedMemory: 70, CPUsInUse: 0.5, Uptime: time.Minute}, 12.5)
	var sum stats.Summary
	read := func() {
		t.Helper()
		text := request(w, 10250, http.MethodGet, "/stats/summary", tokenOf("scraper")).Body
		sum = stats.Summary{}
		if err := json.NewDecoder(text).Decode(&sum); err != nil {
			t.Fatal(err)
		}
	}
	read()
	n := sum.Node
	if n.NodeName != shopNode || *n.CPU.UsageNanoCores != 500_000_000 || *n.CPU.UsageCoreNanoSeconds != 12_500_000_000 || *n.Memory.WorkingSetBytes != 70 || *n.Memory.AvailableBytes != 186 || n.StartTime.Unix() != 1_900_000_000-60 {
		t.Errorf("the Node uses %+v", n)
	}
	if len(sum.Pods) != 1 || sum.Pods[0].PodRef != (stats.PodReference{Name: "stock", Namespace: "orders", UID: "2"}) || len(sum.Pods[0].Containers) != 1 || sum.Pods[0].Containers[0].CPU != nil {
		t.Errorf("the pods use %+v", sum.Pods)
	}
	w.told(&tunnel.Health{MaxMemory: -1, UsedMemory: 70}, 0)
	if read(); sum.Node.Memory.AvailableBytes != nil {
		t.Error("without a limit something is told of what is left")
	}
	w.told(nil, 0)
	if read(); sum.Node.Memory != nil || sum.Node.CPU != nil {
		t.Errorf("of a base that told nothing: %+v", sum.Node)
	}
}

// Pods are told as lists of Kubernetes, and of those that run no environment.
func TestListsOfPods(t *testing.T) {
	w := newWorld(t)
	w.told(nil, 0)
	v := w.bases.views[shopNode]
	v.Running = []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "runs"}}}
	w.bases.views[shopNode] = v
	for path, want := range map[string]string{"/pods": "stock", "/runningpods/": "runs"} {
		text := request(w, 10250, http.MethodGet, path, tokenOf("scraper")).Body.Bytes()
		var list corev1.PodList
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&list); err != nil || len(list.Items) != 1 || list.Items[0].Name != want || list.Kind != "PodList" {
			t.Errorf("%s: %s (%v)", path, text, err)
		}
	}
	// A Node that is another's by now is not known.
	delete(w.bases.views, shopNode)
	for _, path := range []string{"/pods", "/runningpods/", "/stats/summary", "/metrics/resource"} {
		if got := request(w, 10250, http.MethodGet, path, tokenOf("scraper")); got.Code != http.StatusInternalServerError || !strings.Contains(got.Body.String(), "not known here now") {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
}
