//go:build peers

package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/process"
	"module-controller/e2e/world"
)

// kwok is KWOK as its manifests run it. It runs and is healthy before there is a Node; then
// clients create all at once, since it creates none, and the time begins with the first.
var kwok = side{name: "KWOK", start: startKWOK}

func startKWOK(w *world.World, c *world.Cluster, nodes int) running {
	w.Helper()
	built, err := controlplane.BuildKWOK(w.Context(), os.Stderr)
	w.Must(err)
	manifests := func(name string) string { return filepath.Join(built.Source, "kustomize", name) }
	w.Kubectl("apply", "--server-side", "-k", manifests("crd"))
	w.Kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	w.Kubectl("apply", "--server-side", "-k", manifests("rbac"))
	w.Kubectl("apply", "--server-side", "-k", manifests("stage/fast"))
	kubeconfig, err := c.Plane.KubeconfigFor(w.Context(), metav1.NamespaceSystem, "kwok-controller")
	w.Must(err)
	port, err := process.FreePort()
	w.Must(err)

	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd := exec.Command(built.Program, "--config="+manifests("kwok/kwok.yaml"), "--kubeconfig="+kubeconfig,
		"--node-ip=127.0.0.1", "--server-address="+address)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir, "POD_IP=127.0.0.1"}
	p, err := process.Start(cmd, filepath.Join(w.Dir, "kwok.log"))
	w.Must(err)
	w.Cleanup(func() { _ = p.Kill() })
	w.Eventually(world.Timeout, func() error { return harness.Healthy(w.Context(), "http://"+address+"/healthz") })

	began := time.Now()
	atOnce(w, nodes, func(n int) error {
		_, err := c.Client.CoreV1().Nodes().Create(w.Context(), fakeNode(n+1), metav1.CreateOptions{})
		return err
	})
	w.Logf("clients created %d Nodes in %s", nodes, time.Since(began).Round(time.Millisecond))
	return running{began: began, pid: p.PID(), node: fakeName, judge: func(int, int) {}}
}

func fakeName(n int) string { return fmt.Sprintf("kwok-node-%d", n) }

// fakeNode is a Node as kwokctl makes it.
func fakeNode(n int) *corev1.Node {
	cidr := fmt.Sprintf("10.%d.%d.0/24", n/256, n%256)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        fakeName(n),
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
			Labels: map[string]string{
				"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
				corev1.LabelHostname: fakeName(n), "kubernetes.io/role": "agent", "node-role.kubernetes.io/agent": "", "type": "kwok",
			},
		},
		Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}},
	}
}
