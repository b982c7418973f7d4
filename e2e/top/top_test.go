//go:build top

package top

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/javabase"
	"module-controller/e2e/network"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.MainInNetwork(m, jvm, server) }

func jvm(ctx context.Context) error {
	_, err := javabase.Build(ctx, javabase.Boot3, os.Stderr)
	return err
}

func server(ctx context.Context) error {
	_, err := controlplane.BuildMetricsServer(ctx, os.Stderr)
	return err
}

// kubectl top tells what simulated bases use, by metrics-server as its makers start it: a
// certificate that nobody signed is not verified, and Nodes are reached at their internal IP.
func TestTopOfSimulatedBases(t *testing.T) {
	w := cluster.New(t).WithService().WithKubeletAPI(4).WithReplicas(2, "HEALTH_INTERVAL=1s", world.AtNetwork).WithHTTPFleet(2)
	w.AwaitNodesReady(2)
	w.AwaitPlaced()
	w.CreatePod("stock", world.BaseID(1), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	metricsServer(t, w, func(args []string) []string { return append(args, "--kubelet-insecure-tls") })
	for n := range 2 {
		identity := world.BaseID(n + 1)
		awaitSimulated(w, identity, summaryOf(w, identity))
	}
	mayTop(t, w)
	// What a module uses nobody measures.
	if out, err := cluster.Plane.Kubectl(t.Context(), "top", "pod", "stock", "-n", w.Env); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("podmetrics.metrics.k8s.io %q not found", w.Env+"/stock")) {
		t.Errorf("kubectl top pod: %q (%v)", out, err)
	}
	// Whoever owns a base from now on is asked.
	holder := w.Owners()[w.NodeName(world.BaseID(1))].Holder
	w.Must(w.ReplicaOf(holder).Kill())
	w.AwaitOwned(12*time.Second, 2, holder)
	owned := time.Now()
	w.Eventually(world.Timeout, func() error {
		var seen struct{ Timestamp metav1.Time }
		text, err := cluster.Plane.Kubectl(t.Context(), "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes/"+w.NodeName(world.BaseID(1)))
		if err == nil {
			err = json.Unmarshal([]byte(text), &seen)
		}
		if err == nil && !seen.Timestamp.After(owned) {
			err = fmt.Errorf("the newest metrics are of %s, and it has another owner since %s", seen.Timestamp, owned)
		}
		return err
	})
	awaitSimulated(w, world.BaseID(1), summaryOf(w, world.BaseID(1)))
}

// awaitSimulated waits until kubectl top tells of a simulated base's Node what its summary does.
// Of 2 processors such a base has 1.031 % in use.
func awaitSimulated(w *world.World, identity string, sum stats.Summary) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		got, err := topNode(w.Context(), w.NodeName(identity))
		if want := mebi(*sum.Node.Memory.WorkingSetBytes); err == nil && (got.memory != want || !slices.Contains([]string{"20m", "21m"}, got.cpu) || got.cpuShare != "1%") {
			err = fmt.Errorf("%+v, want %s of memory and 20m or 21m of processors", got, want)
		}
		return err
	})
}

// kubectl top tells what a real base uses, by metrics-server that verifies the certificate and
// reaches Nodes at their host name first.
func TestTopOfAJVM(t *testing.T) {
	cert, key, err := cluster.Plane.ServerCertificate("kubelet", net.IP(network.Address.AsSlice()))
	if err != nil {
		t.Fatal(err)
	}
	w := cluster.New(t).WithHTTP().WithKubeletAPI(1)
	w.WithController("HEALTH_INTERVAL=1s", world.AtNetwork, "KUBELET_PROXY_CERT_PATH="+cert, "KUBELET_PROXY_KEY_PATH="+key)
	jars, err := javabase.Build(t.Context(), javabase.Boot3, os.Stderr)
	w.Must(err)
	w.CreateBasePods("127.0.0.1") // where the JVM will be
	base, err := javabase.Start(t.Context(), javabase.Options{
		Artifacts: jars, Identity: "jvm", HeartbeatEndpoint: w.Endpoint(), HeartbeatPeriod: time.Second, MetaspaceLimit: 256 << 20,
	})
	w.Must(err)
	t.Cleanup(func() { w.Must(base.Close()) })
	w.AwaitNodesReady(1)
	w.CreatePod("orders", "jvm", "orders", "1.0.0", jars.Module("orders", "1.0.0"))
	w.AwaitReady("orders")
	metricsServer(t, w, func(args []string) []string {
		i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--kubelet-preferred-address-types=") })
		args[i] = "--kubelet-preferred-address-types=Hostname,InternalIP"
		return args
	})
	w.Eventually(world.Timeout, func() error {
		got, err := topNode(t.Context(), w.NodeName("jvm"))
		if err != nil {
			return err
		}
		node, err := cluster.Client.CoreV1().Nodes().Get(t.Context(), got.node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// The metaspace of a JVM that serves a module of Spring, and its share of what the Node
		// may allocate, each rounded down.
		used, milli, share := number(got.memory, "Mi"), number(got.cpu, "m"), number(got.memoryShare, "%")
		of := node.Status.Allocatable.Memory().Value()
		if used < 20 || used > 256 || milli <= 0 || share < used<<20*100/of || share > (used+1)<<20*100/of {
			return fmt.Errorf("%+v, want 20Mi to 256Mi of memory, of %d bytes, and processors in use", got, of)
		}
		t.Logf("kubectl top node: %+v", got)
		return nil
	})
	mayTop(t, w)
}

// number reads what kubectl top writes, which has a unit; -1 where it has another.
func number(text, unit string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, unit), 10, 64)
	if err != nil || !strings.HasSuffix(text, unit) {
		return -1
	}
	return n
}

// summaryOf gives what a base uses, as its Node's kubelet tells it through the API server.
func summaryOf(w *world.World, identity string) (sum stats.Summary) {
	w.Helper()
	w.Eventually(world.Timeout, func() error { // the base is asked now and then
		text, err := w.ThroughAPI(identity, "stats/summary")
		if err == nil {
			err = json.Unmarshal([]byte(text), &sum)
		}
		if err == nil && sum.Node.Memory == nil {
			err = fmt.Errorf("the summary is %+v", sum)
		}
		return err
	})
	return sum
}

// nobody is a user with no rights of his own.
func nobody(w *world.World) string { return "system:serviceaccount:" + w.Env + ":default" }

// mayTop checks that kubectl top refuses whom the rules do not let read metrics, and nobody
// else. It needs metrics.
func mayTop(t *testing.T, w *world.World) {
	t.Helper()
	top := func() (string, error) {
		return cluster.Plane.Kubectl(t.Context(), "top", "nodes", "--as="+nobody(w))
	}
	if out, err := top(); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("one who may not: %q (%v)", out, err)
	}
	name, read := "top-"+w.Env, []string{"get", "list"}
	_, err := cluster.Client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"metrics.k8s.io", ""}, Resources: []string{"nodes"}, Verbs: read}},
	}, metav1.CreateOptions{})
	w.Must(err)
	_, err = cluster.Client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Env, Name: "default"}},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.Eventually(world.Timeout, func() error {
		out, err := top()
		if err == nil && !strings.Contains(out, "vnode") {
			err = fmt.Errorf("kubectl top nodes: %q", out)
		}
		return err
	})
}

// mebi writes bytes as kubectl top does.
func mebi(bytes uint64) string { return strconv.FormatUint(bytes>>20, 10) + "Mi" }
