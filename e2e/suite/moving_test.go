package suite

import (
	"fmt"
	"net"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/scenario"
	"module-controller/e2e/world"
)

const movedBases = 2 // as many as were recorded

// A fleet of module-controller v2.2.0 moves here and back: nothing is installed and nothing
// uninstalled, and Nodes and pods are the same objects. Its Nodes, Leases and pods are as they
// were recorded of it, and its bases have the modules. Package moving has the program itself.
func TestMovingHereAndBack(t *testing.T) {
	t.Parallel()
	for _, tunnel := range []string{"mqtt", "http"} {
		for name, release := range map[string]bool{"released": true, "left to expire": false} {
			t.Run(tunnel+", "+name, func(t *testing.T) {
				t.Parallel()
				m := &planted{Moving: scenario.NewMoving(cluster.New(t), &cluster, tunnel, movedBases)}
				m.plant(func(*corev1.Node) {})
				bad := m.WatchNodes()
				if release {
					m.Release()
				}
				m.Here()
				if seen := bad(); release && len(seen) > 0 {
					t.Errorf("Nodes were not Ready: %q", seen)
				}
				m.back()
			})
		}
	}
}

// A fleet moves whose kubelet proxy served the logs of modules there: by the names that turned it
// on there, they are read here through the base's Pod, of the container that the page has it name.
// Nodes had the address of the proxy's Service: each stays Ready, and its base is followed to its
// own address once nothing was heard at that one for LINK_GRACE and STALE_AFTER, short ones here.
func TestMovingFromTheKubeletProxy(t *testing.T) {
	t.Parallel()
	m := &planted{Moving: scenario.NewMoving(cluster.New(t).WithKubeletAPI(movedBases), &cluster, "http", movedBases)}
	m.besideSidecars()
	m.WithMachine()
	m.plant(func(n *corev1.Node) { n.Status.Addresses[0].Address = "127.0.0.2" }) // where nothing listens
	cert, key, err := cluster.Plane.ServerCertificate("moved", net.IPv4(127, 0, 0, 1))
	m.Must(err)
	bad := m.WatchNodes()
	m.Release()
	m.WithReplicas(1, "NAMESPACE=default", "KUBELET_PROXY_CERT_PATH="+cert, "KUBELET_PROXY_KEY_PATH="+key, "LINK_GRACE=10s", "STALE_AFTER=10s")
	m.AwaitOwned(scenario.MovedWithin, movedBases)
	for n := range movedBases {
		pod := fmt.Sprint("stock-", n+1)
		m.Eventually(2*world.Timeout, func() error {
			out, err := kubectl(m.World, "logs", pod, "--tail=7")
			if err != nil || !strings.HasPrefix(out, "base-127-") || !strings.HasSuffix(out, "/base tailLines=7\n") {
				return fmt.Errorf("the log of %s is %q (%w)", pod, out, err)
			}
			return nil
		})
	}
	m.Same(0)
	if seen := bad(); len(seen) > 0 {
		t.Errorf("Nodes were not Ready: %q", seen)
	}
}

// besideSidecars makes the bases' Pods anew, with a container before the base's, and has them name
// that one as the page says.
func (m *planted) besideSidecars() {
	m.Helper()
	for _, was := range m.Pods(harness.BasePodSelector) {
		m.DeletePod(was.Name, 0)
		m.Must(harness.CreatePodAt(m.Context(), cluster.Client, m.Env, was.Status.PodIP, was.Labels, func(p *corev1.Pod) {
			p.Spec.Containers = append([]corev1.Container{{Name: "sidecar", Image: "sidecar"}}, p.Spec.Containers...)
		}))
		command := m.ByThePage("also of Pods that run: `kubectl ", "`")
		m.Kubectl(append([]string{"-n", m.Env}, strings.Fields(strings.ReplaceAll(command, "POD", was.Name))...)...)
	}
}

// planted is a fleet that moves, of which all was recorded.
type planted struct {
	*scenario.Moving
	recorded scenario.Recording
}

// plant has the bases have modules, and what was recorded as if it was of them, with Nodes
// changed as a test wants them.
func (m *planted) plant(change func(*corev1.Node)) {
	m.Helper()
	m.recorded = m.Recorded()
	for n := range m.recorded.Nodes {
		change(&m.recorded.Nodes[n])
	}
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
	m.Remember()
	if m.Tunnel == "mqtt" {
		m.Must(m.Fleet.Do(world.BaseID(2), "stop-heartbeat")) // as a base's may, for good
	}
}

// show writes what a Node and a pod showed. Kubernetes writes them too: a conflict is an error.
func (m *planted) show(recorded corev1.Node, name string, status corev1.PodStatus) error {
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
func (m *planted) hold() {
	m.Helper()
	for _, lease := range m.recorded.Leases {
		now := metav1.NowMicro()
		lease.Spec.RenewTime = &now
		_, err := m.BaseLeases().Create(m.Context(), &lease, metav1.CreateOptions{})
		m.Must(err)
	}
}

// back stops this controller and checks that the other one can go on: no Lease is in its way
// once the page's command ran, each Node is found by its labels, and nothing was touched.
func (m *planted) back() {
	m.Helper()
	bad := m.WatchNodes()
	m.Back()
	m.hold()
	found, err := cluster.Client.CoreV1().Nodes().List(m.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/component in (vnode),virtual-kubelet.koupleless.io/env in (" + m.Env + ")"})
	m.Must(err)
	if len(found.Items) != movedBases {
		m.Errorf("by its labels %d Nodes are found", len(found.Items))
	}
	for _, node := range found.Items {
		m.Keeps(node)
	}
	m.AwaitNodesReady(movedBases)
	m.Same(movedBases)
	if seen := bad(); len(seen) > 0 {
		m.Errorf("Nodes were not Ready: %q", seen)
	}
}
