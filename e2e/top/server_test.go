//go:build top

package top

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/network"
	"module-controller/e2e/process"
	"module-controller/e2e/world"
)

// serverName is that of metrics-server, its account and its Service, in the namespace kube-system.
const serverName = "metrics-server"

// metricsServer starts metrics-server, with its own RBAC and APIService and the arguments of
// its own Deployment, changed as a test wants them. It ends before the World does: while an
// APIService has no server no namespace is deleted.
func metricsServer(t *testing.T, w *world.World, change func(args []string) []string) {
	t.Helper()
	built, err := controlplane.BuildMetricsServer(t.Context(), os.Stderr)
	w.Must(err)
	w.Kubectl("apply", "-f", filepath.Join(built.Manifests, "rbac.yaml"))
	kubeconfig, err := cluster.Plane.KubeconfigFor(t.Context(), metav1.NamespaceSystem, serverName)
	w.Must(err)
	log := filepath.Join(w.Dir, "metrics-server.log")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), built.Program, slices.Concat(
		change(argsOf(t, filepath.Join(built.Manifests, "deployment.yaml"))),
		// What a test needs otherwise: no pod's account, the port of its Service, and the
		// shortest time between two looks that it permits.
		[]string{
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=" + network.Address.String(), "--secure-port=443", "--cert-dir=" + w.Dir, "--metric-resolution=10s", "--kubelet-request-timeout=5s",
		},
	)...)
	p, err := process.Start(cmd, log)
	w.Must(err)
	t.Cleanup(func() {
		if err := p.Stop(10 * time.Second); err != nil {
			t.Errorf("metrics-server: %v; its log is %s", err, log)
		}
	})
	// In place of a Service that selects its pod.
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: serverName},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: network.Address.String()},
	}
	services := cluster.Client.CoreV1().Services(metav1.NamespaceSystem)
	_, err = services.Create(t.Context(), service, metav1.CreateOptions{})
	w.Must(err)
	t.Cleanup(func() { w.Must(services.Delete(context.Background(), serverName, metav1.DeleteOptions{})) })
	api := filepath.Join(built.Manifests, "apiservice.yaml")
	w.Kubectl("apply", "-f", api)
	t.Cleanup(func() {
		if out, err := cluster.Plane.Kubectl(context.Background(), "delete", "-f", api); err != nil {
			t.Error(out, err)
		}
	})
	w.Eventually(world.Timeout, func() error {
		if p.Ended() {
			return fmt.Errorf("metrics-server ended: %w; its log is %s", p.Err(), log)
		}
		_, err := cluster.Plane.Kubectl(t.Context(), "get", "--raw", "/apis/metrics.k8s.io/v1beta1")
		return err
	})
}

// argsOf gives the arguments of the first container of a Deployment.
func argsOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d.Spec.Template.Spec.Containers[0].Args
}

// use is a line of kubectl top node.
type use struct{ node, cpu, cpuShare, memory, memoryShare string }

// topNode gives what kubectl top tells of a Node.
func topNode(ctx context.Context, name string) (use, error) {
	out, err := cluster.Plane.Kubectl(ctx, "top", "node", name, "--no-headers")
	if err != nil {
		return use{}, err
	}
	f := strings.Fields(out)
	if len(f) != 5 {
		return use{}, fmt.Errorf("kubectl top node %s: %q", name, out)
	}
	return use{f[0], f[1], f[2], f[3], f[4]}, nil
}
