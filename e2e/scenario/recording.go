package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// Recording is what was there of a fleet of v2.2.0, in the order of the bases.
type Recording struct {
	Nodes  []corev1.Node          `json:"nodes"`
	Leases []coordinationv1.Lease `json:"leases"`
	Pods   []corev1.Pod           `json:"pods"`
}

// file has what was recorded over a tunnel.
func (m *Moving) file() string {
	return filepath.Join(harness.Root(), "e2e", "suite", "testdata", "v2.2.0", m.Tunnel+".json")
}

// Recorded reads what was recorded, as if it was of this World.
func (m *Moving) Recorded() (r Recording) {
	m.Helper()
	text, err := os.ReadFile(m.file())
	m.Must(err)
	for n := range m.Bases {
		text = replace(text, m.own(n))
	}
	m.Must(json.Unmarshal(text, &r))
	if n, l, p := len(r.Nodes), len(r.Leases), len(r.Pods); n != m.Bases || l != m.Bases || p != m.Bases {
		m.Fatalf("of %d bases %d Nodes, %d Leases and %d pods were recorded", m.Bases, n, l, p)
	}
	return r
}

// Record writes what the fleet is now, without what the API server sets and what is this
// World's.
func (m *Moving) Record() {
	m.Helper()
	var r struct {
		Nodes  []json.RawMessage `json:"nodes"`
		Leases []json.RawMessage `json:"leases"`
		Pods   []json.RawMessage `json:"pods"`
	}
	for n := range m.Bases {
		name := m.NodeName(world.BaseID(n + 1))
		node, err := m.cluster.Client.CoreV1().Nodes().Get(m.Context(), name, metav1.GetOptions{})
		m.Must(err)
		lease, err := m.BaseLeases().Get(m.Context(), name, metav1.GetOptions{})
		m.Must(err)
		pods := m.Pods("app=stock")
		i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Spec.NodeName == name })
		if i < 0 {
			m.Fatalf("Node %s has no pod", name)
		}
		r.Nodes = append(r.Nodes, m.masked(n, corev1.Node{
			ObjectMeta: described(node.ObjectMeta), Spec: corev1.NodeSpec{Taints: node.Spec.Taints}, Status: node.Status,
		}))
		r.Leases = append(r.Leases, m.masked(n, coordinationv1.Lease{ObjectMeta: described(lease.ObjectMeta), Spec: lease.Spec}))
		r.Pods = append(r.Pods, m.masked(n, map[string]any{"metadata": map[string]string{"name": pods[i].Name}, "status": pods[i].Status}))
	}
	text, err := json.MarshalIndent(r, "", " ")
	m.Must(err)
	m.Must(os.WriteFile(m.file(), append(text, '\n'), 0o644))
}

// described is of an object's metadata what its writer sets.
func described(o metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: o.Name, Namespace: o.Namespace, Labels: o.Labels, Annotations: o.Annotations}
}

// masked gives an object of a base with the words of a recording for what is this World's.
func (m *Moving) masked(base int, object any) json.RawMessage {
	m.Helper()
	text, err := json.Marshal(object)
	m.Must(err)
	pairs := m.own(base)
	slices.Reverse(pairs) // the words for what is this World's
	return replace(text, pairs)
}

// own are the words of a recording for what each World has otherwise, and what this one has
// instead, in turn, for a base, from 0 on.
func (m *Moving) own(n int) []string {
	m.Helper()
	base, err := m.Fleet.Base(world.BaseID(n + 1))
	m.Must(err)
	pairs := []string{
		".dev\"", "." + m.Env + "\"",
		"\"dev\"", "\"" + m.Env + "\"",
		fmt.Sprintf("\"address-%d\"", n+1), "\"" + m.address(n) + "\"",
	}
	if base.Port != 0 { // it listens
		pairs = append(pairs, fmt.Sprintf("\"port-%d\"", n+1), fmt.Sprintf("\"%d\"", base.Port))
	}
	return pairs
}

func replace(text []byte, pairs []string) []byte {
	return []byte(strings.NewReplacer(pairs...).Replace(string(text)))
}

// address is that of a base, from 0 on.
func (m *Moving) address(n int) string {
	m.Helper()
	if m.Tunnel == "mqtt" {
		return "127.0.0.1"
	}
	var all []string
	for _, pod := range m.Pods(harness.BasePodSelector) {
		all = append(all, pod.Status.PodIP)
	}
	return slices.Sorted(slices.Values(all))[n]
}
