package scenario

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// MovedWithin is how soon after the start of this controller all Nodes of a fleet that moves
// are Ready, and its.
const MovedWithin = 60 * time.Second

// Moving is a fleet of module-controller v2.2.0 that moves here and back as docs/moving.md
// says, and what must stay of it. Each of its bases has a pod with the label app=stock.
type Moving struct {
	*world.World
	// Tunnel is that of the bases: mqtt or http.
	Tunnel string
	// Bases is how many are served.
	Bases int
	// Settings are more of the replicas of this controller.
	Settings []string

	cluster  *world.Cluster
	nodes    []corev1.Node // as they were before the move
	pods     []corev1.Pod
	installs int // that the bases did before
}

// NewMoving makes a fleet of bases that nobody serves. args are more of basesim's.
func NewMoving(w *world.World, c *world.Cluster, tunnel string, bases int, args ...string) *Moving {
	w.Helper()
	args = append([]string{"--name", "shop", "--version", "2.0", "--cluster", "east"}, args...)
	if tunnel == "mqtt" {
		w.WithBroker().WithFleet(bases, args...)
	} else {
		w.WithService().WithHTTPFleet(bases, args...)
	}
	return &Moving{World: w, Tunnel: tunnel, Bases: bases, cluster: c}
}

// Remember has the fleet stay as it is now.
func (m *Moving) Remember() {
	m.Helper()
	m.nodes, m.pods, m.installs = m.Nodes(), m.Pods("app=stock"), m.Counts().Installs
}

// ByThePage gives a text between two others in docs/moving.md, for this World's environment.
func (m *Moving) ByThePage(before, after string) string {
	m.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "moving.md"))
	m.Must(err)
	_, rest, begins := strings.Cut(string(text), before)
	command, _, ends := strings.Cut(rest, after)
	if !begins || !ends {
		m.Fatalf("docs/moving.md has nothing between %q and %q", before, after)
	}
	return strings.ReplaceAll(command, "env=dev", "env="+m.Env)
}

// Release gives the bases free, by the page's command.
func (m *Moving) Release() {
	m.Helper()
	list, patch := m.ByThePage("kubectl get lease ", " -o name"), m.ByThePage("kubectl patch -n kube-node-lease --type merge -p '", "'\n")
	names, err := m.cluster.Plane.Kubectl(m.Context(), append(strings.Fields("get lease -o name "), strings.Fields(list)...)...)
	m.Must(err)
	if n := len(strings.Fields(names)); n != m.Bases {
		m.Fatalf("%q selects %d Leases", list, n)
	}
	for name := range strings.FieldsSeq(names) {
		m.Kubectl("patch", "-n", "kube-node-lease", "--type", "merge", "-p", patch, name)
	}
}

// Here starts two replicas of this controller, with the settings of the sample, and checks
// that they have the fleet as it was. It adds a pod to each base.
func (m *Moving) Here() {
	m.Helper()
	began := time.Now()
	m.WithReplicas(2, append(m.settings(), m.Settings...)...)
	m.AwaitOwned(MovedWithin, m.Bases)
	m.AwaitNodesReadyWithin(time.Until(began.Add(MovedWithin)), m.Bases)
	m.Logf("all Nodes were owned and Ready %s after this controller was started", time.Since(began).Round(100*time.Millisecond))
	m.AwaitListed()
	m.AwaitPodsReady("app=stock", m.Bases)
	m.Eventually(world.Timeout, func() error { return m.CheckLeases(m.Bases) }) // one may change hands
	m.Same(0)
	for _, was := range m.nodes {
		is, err := m.cluster.Client.CoreV1().Nodes().Get(m.Context(), was.Name, metav1.GetOptions{})
		m.Must(err)
		if pods := is.Status.Allocatable[corev1.ResourcePods]; pods.Value() != 65535 || is.Labels["vnode.koupleless.io/name"] != was.Labels["base.koupleless.io/name"] {
			m.Errorf("Node %s takes %s pods and has the labels %v", was.Name, &pods, is.Labels)
		}
		m.Keeps(*is)
		id := m.BaseOf(was.Name)
		m.CreatePod("after-"+id, id, "orders", "1.0.0", world.Jar("orders", "1.0.0"))
		m.AwaitReady("after-" + id)
	}
	m.Same(m.Bases)
}

// settings are those of the sample, but for what is this World's.
func (m *Moving) settings() (env []string) {
	m.Helper()
	text, err := os.ReadFile(harness.Manifest("samples/moving/values.yaml"))
	m.Must(err)
	var values struct{ Settings map[string]string }
	m.Must(yaml.UnmarshalStrict(text, &values))
	for name, value := range values.Settings {
		if name != "ENV" && name != "MQTT_PORT" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Same checks that the Nodes and pods are the ones that were, that the pods are Ready, and
// that the bases did so many installs since.
func (m *Moving) Same(installs int) {
	m.Helper()
	if now, was := world.UIDs(m.Nodes()), world.UIDs(m.nodes); !maps.Equal(now, was) {
		m.Errorf("nodes are %v, were %v", now, was)
	}
	m.SamePods()
	m.Must(m.Did(installs))
}

// SamePods checks that the pods are the ones that were, at the same addresses, and Ready.
func (m *Moving) SamePods() {
	m.Helper()
	pods := m.Pods("app=stock")
	now, was := world.ReadySince(pods), world.ReadySince(m.pods)
	if !slices.Equal(slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(was))) {
		m.Errorf("pods are %v, were %v", now, was)
	}
	for _, p := range pods {
		i := slices.IndexFunc(m.pods, func(was corev1.Pod) bool { return was.UID == p.UID })
		if i >= 0 && p.Status.PodIP != m.pods[i].Status.PodIP || !world.PodReady(p) {
			m.Errorf("pod %s is %v at %s", p.Name, p.Status.Conditions, p.Status.PodIP)
		}
	}
}

// Did gives an error unless the bases did so many installs since Remember, and no uninstall in
// all.
func (m *Moving) Did(installs int) error {
	m.Helper()
	if c := m.Counts(); c.Installs != m.installs+installs || c.Uninstalls != 0 {
		return fmt.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, m.installs+installs)
	}
	return nil
}

// otherReads are the labels of a Node by which v2.2.0 finds it and its base.
var otherReads = []string{
	"virtual-kubelet.koupleless.io/component", "virtual-kubelet.koupleless.io/env", "base.koupleless.io/name", "base.koupleless.io/version",
	"base.koupleless.io/cluster-name", "base.koupleless.io/host-name", "base.koupleless.io/tunnel-port",
}

// Keeps checks that a Node has what the other controller reads of it, as that one wrote it.
func (m *Moving) Keeps(is corev1.Node) {
	m.Helper()
	i := slices.IndexFunc(m.nodes, func(was corev1.Node) bool { return was.Name == is.Name })
	if i < 0 {
		m.Errorf("Node %s was not there", is.Name)
		return
	}
	was := m.nodes[i]
	for _, label := range otherReads {
		if is.Labels[label] != was.Labels[label] {
			m.Errorf("label %s of Node %s is %q, was %q", label, is.Name, is.Labels[label], was.Labels[label])
		}
	}
	ip := func(n corev1.Node) string {
		i := slices.IndexFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeInternalIP })
		return n.Status.Addresses[i].Address
	}
	if ip(is) != ip(was) {
		m.Errorf("Node %s is at %s, was at %s", is.Name, ip(is), ip(was))
	}
}

// Back stops this controller, and makes the other one's way free, as the page says.
func (m *Moving) Back() {
	m.Helper()
	m.StopAll(world.StopTimeout, m.Replicas...)
	leases, err := m.BaseLeases().List(m.Context(), m.OfEnv())
	m.Must(err)
	for _, l := range leases.Items {
		if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != "" { // which v2.2.0 must not find missing
			m.Errorf("Lease %s is left to %v", l.Name, l.Spec.HolderIdentity)
		}
	}
	m.DeleteLeases()
}

// DeleteLeases deletes the Leases of the bases, by the page's command.
func (m *Moving) DeleteLeases() {
	m.Helper()
	m.Kubectl(append([]string{"delete", "lease"}, strings.Fields(m.ByThePage("kubectl delete lease ", "\n"))...)...)
	for _, node := range m.nodes {
		if _, err := m.BaseLeases().Get(m.Context(), node.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			m.Errorf("Lease %s is in the way: %v", node.Name, err)
		}
	}
}
