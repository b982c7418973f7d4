package suite

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

const (
	movedBases = 2 // as many as were recorded
	// movedWithin is how soon after the start of this controller all Nodes are Ready, and its.
	movedWithin = 60 * time.Second
)

// A fleet of module-controller v2.2.0 moves here and back: nothing is installed and nothing
// uninstalled, and Nodes and pods are the same objects. Its Nodes, Leases and pods are as they
// were recorded of it, and its bases have the modules.
func TestMovingHereAndBack(t *testing.T) {
	t.Parallel()
	for _, tunnel := range []string{"mqtt", "http"} {
		for name, release := range map[string]bool{"released": true, "left to expire": false} {
			t.Run(tunnel+", "+name, func(t *testing.T) {
				t.Parallel()
				w := cluster.New(t)
				m := &moving{World: w, tunnel: tunnel}
				m.plant()
				bad := w.WatchNodes()
				if release {
					m.release()
				}
				m.here()
				if seen := bad(); release && len(seen) > 0 {
					t.Errorf("Nodes were not Ready: %q", seen)
				}
				m.back()
			})
		}
	}
}

// moving is a fleet that moves, and what must stay.
type moving struct {
	*world.World
	tunnel   string
	recorded recording
	nodes    map[string]types.UID
	ready    map[string]string // since when each pod is Ready, by UID
}

// recording is what was there of a fleet of v2.2.0.
type recording struct {
	Nodes  []corev1.Node
	Leases []coordinationv1.Lease
	Pods   []corev1.Pod
}

// plant has a fleet with modules, and what was recorded of one as if it was this.
func (m *moving) plant() {
	m.Helper()
	same := []string{"--name", "shop", "--version", "2.0", "--cluster", "east"} // as those that were recorded
	if m.tunnel == "mqtt" {
		m.WithBroker().WithFleet(movedBases, same...)
	} else {
		m.WithService().WithHTTPFleet(movedBases, same...)
	}
	m.read()
	for n, pod := range m.recorded.Pods {
		id, node := world.BaseID(n+1), m.recorded.Nodes[n]
		m.Must(m.Fleet.Post("/bases/"+id+"/install", map[string]any{"bizName": "stock", "bizVersion": "1.0.0", "bizUrl": world.Jar("stock", "1.0.0")}))
		_, err := cluster.Client.CoreV1().Nodes().Create(m.Context(), &node, metav1.CreateOptions{})
		m.Must(err)
		m.CreatePod(fmt.Sprint("stock-", n+1), id, "stock", "1.0.0", world.Jar("stock", "1.0.0"))
		m.Eventually(world.Timeout, func() error { return m.show(node, fmt.Sprint("stock-", n+1), pod.Status) })
	}
	m.hold()
	m.AwaitNodesReady(movedBases)
	m.nodes, m.ready = world.UIDs(m.Nodes()), world.ReadySince(m.Pods("app=stock"))
	if m.tunnel == "mqtt" {
		m.Must(m.Fleet.Do(world.BaseID(2), "stop-heartbeat")) // as a base's may, for good
	}
}

// show writes what a Node and a pod showed. Kubernetes writes them too: a conflict is an error.
func (m *moving) show(recorded corev1.Node, name string, status corev1.PodStatus) error {
	nodes := cluster.Client.CoreV1().Nodes()
	node, err := nodes.Get(m.Context(), recorded.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	node.Status = recorded.Status
	for i := range node.Status.Conditions {
		node.Status.Conditions[i].LastHeartbeatTime = metav1.Now()
	}
	if _, err := nodes.UpdateStatus(m.Context(), node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	pod, err := m.GetPod(name)
	if err != nil {
		return err
	}
	pod.Status = status
	_, err = cluster.Client.CoreV1().Pods(m.Env).UpdateStatus(m.Context(), pod, metav1.UpdateOptions{})
	return err
}

// hold makes the Leases as the other controller does, at its start and at the end.
func (m *moving) hold() {
	m.Helper()
	for _, lease := range m.recorded.Leases {
		now := metav1.NowMicro()
		lease.Spec.RenewTime = &now
		_, err := m.BaseLeases().Create(m.Context(), &lease, metav1.CreateOptions{})
		m.Must(err)
	}
}

// read reads what was recorded, as if it was of this World: its environment, its bases'
// addresses and ports.
func (m *moving) read() {
	m.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "v2.2.0", m.tunnel+".json"))
	m.Must(err)
	pairs := []string{".dev\"", "." + m.Env + "\"", "\"dev\"", "\"" + m.Env + "\"", m.tunnel + "-000", "base-000"}
	for n := range movedBases {
		base, err := m.Fleet.Base(world.BaseID(n + 1))
		m.Must(err)
		pairs = append(pairs, fmt.Sprintf("\"address-%d\"", n+1), "\""+m.address(n)+"\"", fmt.Sprintf("\"port-%d\"", n+1), fmt.Sprintf("\"%d\"", base.Port))
	}
	m.Must(json.Unmarshal([]byte(strings.NewReplacer(pairs...).Replace(string(text))), &m.recorded))
	if n, l, p := len(m.recorded.Nodes), len(m.recorded.Leases), len(m.recorded.Pods); n != movedBases || l != movedBases || p != movedBases {
		m.Fatalf("of %d bases %d Nodes, %d Leases and %d pods were recorded", movedBases, n, l, p)
	}
}

// address is that of a base, from 0 on.
func (m *moving) address(n int) string {
	m.Helper()
	if m.tunnel == "mqtt" {
		return "127.0.0.1"
	}
	var all []string
	for _, pod := range m.Pods(harness.BasePodSelector) {
		all = append(all, pod.Status.PodIP)
	}
	return slices.Sorted(slices.Values(all))[n]
}

// command gives a text between two others on the page of the move, for this World's
// environment.
func (m *moving) command(before, after string) string {
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

// release gives the bases free, as the page says.
func (m *moving) release() {
	m.Helper()
	list, patch := m.command("kubectl get lease ", " -o name"), m.command("kubectl patch -n kube-node-lease --type merge -p '", "'\n")
	names, err := cluster.Plane.Kubectl(m.Context(), append(strings.Fields("get lease -o name "), strings.Fields(list)...)...)
	m.Must(err)
	if n := len(strings.Fields(names)); n != movedBases {
		m.Fatalf("%q selects %d Leases", list, n)
	}
	for name := range strings.FieldsSeq(names) {
		m.Kubectl("patch", "-n", "kube-node-lease", "--type", "merge", "-p", patch, name)
	}
}

// here starts this controller, with the settings of the sample, and checks that it has the
// fleet as it was.
func (m *moving) here() {
	m.Helper()
	began := time.Now()
	m.WithReplicas(2, m.settings()...)
	m.AwaitOwned(movedWithin, movedBases)
	m.AwaitNodesReadyWithin(time.Until(began.Add(movedWithin)), movedBases)
	m.Logf("all Nodes were owned and Ready %s after this controller was started", time.Since(began).Round(100*time.Millisecond))
	m.AwaitListed()
	m.AwaitPodsReady("app=stock", movedBases)
	m.Must(m.CheckLeases(movedBases))
	m.same(movedBases)
	for n, node := range m.recorded.Nodes {
		is, err := cluster.Client.CoreV1().Nodes().Get(m.Context(), node.Name, metav1.GetOptions{})
		m.Must(err)
		if pods := is.Status.Allocatable[corev1.ResourcePods]; pods.Value() != 65535 || is.Labels["vnode.koupleless.io/name"] != node.Labels["base.koupleless.io/name"] {
			m.Errorf("Node %s takes %s pods and has the labels %v", node.Name, &pods, is.Labels)
		}
		m.keeps(*is, node)
		id := world.BaseID(n + 1)
		m.CreatePod("after-"+id, id, "orders", "1.0.0", world.Jar("orders", "1.0.0"))
		m.AwaitReady("after-" + id)
	}
	m.same(2 * movedBases)
}

// settings are those of the sample, but for what is this World's.
func (m *moving) settings() (env []string) {
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

// same checks that the Nodes and pods are the ones that were, that the pods are Ready, and
// that the bases did no more than so many installs.
func (m *moving) same(installs int) {
	m.Helper()
	if now := world.UIDs(m.Nodes()); !maps.Equal(now, m.nodes) {
		m.Errorf("nodes are %v, were %v", now, m.nodes)
	}
	pods := m.Pods("app=stock")
	now := world.ReadySince(pods)
	if !slices.Equal(slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(m.ready))) {
		m.Errorf("pods are %v, were %v", now, m.ready)
	}
	for _, p := range pods {
		if want := m.recorded.Pods[0].Status.PodIP; m.tunnel == "mqtt" && p.Status.PodIP != want || !world.PodReady(p) {
			m.Errorf("pod %s is %v at %s", p.Name, p.Status.Conditions, p.Status.PodIP)
		}
	}
	if c := m.Counts(); c.Installs != installs || c.Uninstalls != 0 {
		m.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, installs)
	}
}

// otherReads are the labels of a Node by which v2.2.0 finds it and its base.
var otherReads = []string{
	"virtual-kubelet.koupleless.io/component", "virtual-kubelet.koupleless.io/env", "base.koupleless.io/name", "base.koupleless.io/version",
	"base.koupleless.io/cluster-name", "base.koupleless.io/host-name", "base.koupleless.io/tunnel-port",
}

// keeps checks that a Node has what the other controller reads of it, as that one wrote it.
func (m *moving) keeps(is, was corev1.Node) {
	m.Helper()
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

// back stops this controller and checks that the other one can go on: no Lease is in its way
// once the page's command ran, each Node is found by its labels, and nothing was touched.
func (m *moving) back() {
	m.Helper()
	bad := m.WatchNodes()
	m.StopAll(world.StopTimeout, m.Replicas...)
	leases, err := m.BaseLeases().List(m.Context(), m.OfEnv())
	m.Must(err)
	for _, l := range leases.Items {
		if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != "" { // which v2.2.0 must not find missing
			m.Errorf("Lease %s is left to %v", l.Name, l.Spec.HolderIdentity)
		}
	}
	m.Kubectl(append([]string{"delete", "lease"}, strings.Fields(m.command("kubectl delete lease ", "\n"))...)...)
	for _, lease := range m.recorded.Leases {
		if _, err := m.BaseLeases().Get(m.Context(), lease.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			m.Errorf("Lease %s is in the way: %v", lease.Name, err)
		}
	}
	m.hold()
	found, err := cluster.Client.CoreV1().Nodes().List(m.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/component in (vnode),virtual-kubelet.koupleless.io/env in (" + m.Env + ")"})
	m.Must(err)
	if len(found.Items) != movedBases {
		m.Errorf("by its labels %d Nodes are found", len(found.Items))
	}
	for _, node := range found.Items {
		i := slices.IndexFunc(m.recorded.Nodes, func(was corev1.Node) bool { return was.Name == node.Name })
		m.keeps(node, m.recorded.Nodes[i])
	}
	m.AwaitNodesReady(movedBases)
	m.same(2 * movedBases)
	if seen := bad(); len(seen) > 0 {
		m.Errorf("Nodes were not Ready: %q", seen)
	}
}
