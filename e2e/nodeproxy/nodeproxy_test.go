//go:build java

package nodeproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"module-controller/e2e/javabase"
	"module-controller/e2e/network"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.MainInNetwork(m, jvm) }

func jvm(ctx context.Context) error {
	_, err := javabase.Build(ctx, javabase.Boot3, os.Stderr)
	return err
}

// What a Node's kubelet may be asked goes through the API server, and its log and questions
// too, at an address that is not a loopback one.
func TestTheProxyToASimulatedBase(t *testing.T) {
	w := cluster.New(t).WithHTTP().WithKubeletAPI(4).WithController("HEALTH_INTERVAL=1s", world.AtNetwork).WithHTTPFleet(2)
	w.AwaitNodesReady(2)
	w.CreatePod("stock", world.BaseID(1), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	told := w.AddressesOf(world.BaseID(1))
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeHostName} {
		if slices.Index(told[kind], network.Address.String()) != 0 {
			t.Errorf("the Node tells %v, want %s first as %s", told, network.Address, kind)
		}
	}
	proxied(w, world.BaseID(1), "stock")
	proxied(w, world.BaseID(2))
	if out, err := cluster.Plane.Kubectl(t.Context(), "-n", w.Env, "exec", "stock", "--", "modules"); err != nil || !strings.Contains(out, `"name": "stock"`) {
		t.Errorf("its modules are %q (%v)", out, err)
	}
}

func TestTheProxyToAJVM(t *testing.T) {
	w := cluster.New(t).WithHTTP().WithKubeletAPI(1).WithController("HEALTH_INTERVAL=1s", world.AtNetwork)
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
	proxied(w, "jvm", "orders")
}

// proxied asks a Node's kubelet, through the API server, all that it may be asked that way. The
// base has the pods, and who may not ask is refused.
func proxied(w *world.World, identity string, want ...string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error { // the base is asked now and then
		var sum stats.Summary
		text, err := w.ThroughAPI(identity, "stats/summary")
		if err == nil {
			err = json.Unmarshal([]byte(text), &sum)
		}
		if err == nil && (sum.Node.NodeName != w.NodeName(identity) || sum.Node.Memory == nil || sum.Node.CPU == nil ||
			*sum.Node.Memory.WorkingSetBytes == 0 || *sum.Node.CPU.UsageCoreNanoSeconds == 0 || len(sum.Pods) != len(want)) {
			err = fmt.Errorf("the summary of %s is %s", identity, text)
		}
		return err
	})
	text, err := w.ThroughAPI(identity, "metrics/resource")
	w.Must(err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader([]byte(text)))
	if err != nil || families["node_memory_working_set_bytes"] == nil || families["node_cpu_usage_seconds_total"] == nil {
		w.Errorf("the metrics of %s are %s (%v)", identity, text, err)
	}
	for _, path := range []string{"pods", "runningpods/"} {
		var pods corev1.PodList
		text, err := w.ThroughAPI(identity, path)
		if err == nil {
			err = json.Unmarshal([]byte(text), &pods)
		}
		if err != nil || len(pods.Items) != len(want) || len(want) > 0 && pods.Items[0].Name != want[0] {
			w.Errorf("%s of %s: %s (%v), want %v", path, identity, text, err, want)
		}
	}
	for _, path := range []string{"stats/summary", "metrics/resource", "pods", "runningpods/"} {
		text, err := w.ThroughAPI(identity, path, "--as=system:serviceaccount:"+w.Env+":default")
		if err == nil || !strings.Contains(err.Error(), "Forbidden") {
			w.Errorf("%s of %s, asked by one who may not: %q (%v)", path, identity, text, err)
		}
	}
	if text, err := w.ThroughAPI(identity, "nonsense"); err == nil {
		w.Errorf("what there is not: %q", text)
	}
}
