package vk

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vke2e "github.com/virtual-kubelet/virtual-kubelet/test/e2e"
	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"module-controller/e2e/network"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.MainInNetwork(m) }

// hostname is what the base calls its host. In this network nobody knows where that is.
const hostname = "shop-0"

// A VNode passes virtual-kubelet's own tests, over either tunnel, and its kubelet is found by
// either order of addresses.
func TestVirtualKubeletsOwnTests(t *testing.T) {
	t.Run("MQTT", func(t *testing.T) {
		w := newWorld(t, &cluster).WithBroker().WithFleet(1, "--hostname", hostname).WithController(settings...)
		run(t, &cluster, w, "is not proved, so its log cannot be read here")
	})
	t.Run("HTTP", func(t *testing.T) { run(t, &cluster, newHTTP(t, &cluster), logOfItsPod) })
	t.Run("internal IP first", func(t *testing.T) {
		own := world.StartCluster(t, "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname")
		run(t, own, newHTTP(t, own), logOfItsPod)
	})
}

// settings are those of the replica that owns the base.
var settings = []string{"HEALTH_INTERVAL=1s", world.AtNetwork}

// logOfItsPod is what the machine of the base's Pod tells as its log.
const logOfItsPod = "/base tailLines=7"

func newWorld(t *testing.T, of *world.Cluster) *world.World {
	t.Helper()
	return of.New(t).WithEnvironmentAccess().WithKubeletAPI(2)
}

func newHTTP(t *testing.T, of *world.Cluster) *world.World {
	t.Helper()
	return newWorld(t, of).WithHTTP().WithController(settings...).WithHTTPFleet(1, "--hostname", hostname).WithMachine()
}

// interpret has an interpreter at work until the test ends.
func interpret(t *testing.T, of *world.Cluster, env string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&interpreter{client: of.Client, env: env}).run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// run runs the suite, and asks the kubelet what the suite does not. log is what comes of asking
// for a module's log.
func run(t *testing.T, of *world.Cluster, w *world.World, log string) {
	t.Helper()
	w.AwaitNodesReady(1)
	s, err := startShim(of.Plane.Config(), w.Env)
	w.Must(err)
	t.Cleanup(s.server.Close)
	interpret(t, of, w.Env)
	kubeconfig := filepath.Join(w.Dir, "shim.kubeconfig")
	w.Must(s.kubeconfig(kubeconfig))
	suite := vke2e.NewEndToEndTestSuite(vke2e.EndToEndTestSuiteConfig{
		Kubeconfig: kubeconfig, Namespace: w.Env, NodeName: w.NodeName(world.BaseID(1)), WatchTimeout: 30 * time.Second,
	})
	suite.Setup(t) // the Node is Ready
	for name, test := range map[string]func(*testing.T){
		"GetPods":                      suite.TestGetPods,
		"GetStatsSummary":              suite.TestGetStatsSummary,
		"GetMetricsResource":           suite.TestGetMetricsResource,
		"GracefulDelete":               suite.TestPodLifecycleGracefulDelete,
		"ForceDelete":                  suite.TestPodLifecycleForceDelete,
		"OptionalInexistentSecrets":    suite.TestCreatePodWithOptionalInexistentSecrets,
		"MandatoryInexistentSecrets":   suite.TestCreatePodWithMandatoryInexistentSecrets,
		"OptionalInexistentConfigMap":  suite.TestCreatePodWithOptionalInexistentConfigMap,
		"MandatoryInexistentConfigMap": suite.TestCreatePodWithMandatoryInexistentConfigMap,
	} {
		t.Run(name, test)
	}
	isFound(t, of, w, log)
}

// isFound has the API server connect to the Node's kubelet for each thing that it connects for,
// where the Node tells the base's address too: nobody serves a kubelet's API there.
func isFound(t *testing.T, of *world.Cluster, w *world.World, log string) {
	t.Helper()
	w.CreatePod("stock", world.BaseID(1), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	pod, err := w.GetPod("stock")
	w.Must(err)
	owner, base := network.Address.String(), pod.Status.PodIP
	want := map[corev1.NodeAddressType][]string{corev1.NodeInternalIP: {owner, base}, corev1.NodeHostName: {owner, hostname}}
	if diff := cmp.Diff(want, w.AddressesOf(world.BaseID(1))); owner == base || diff != "" {
		t.Errorf("the base is at %s; addresses of its Node (-want +got):\n%s", base, diff)
	}
	if out, err := of.Plane.Kubectl(t.Context(), "exec", "-n", w.Env, "stock", "--", "modules"); err != nil || !strings.Contains(out, `"name": "stock"`) {
		t.Errorf("its modules are %q (%v)", out, err)
	}
	out, err := of.Plane.Kubectl(t.Context(), "logs", "-n", w.Env, "stock", "--tail=7")
	if text := fmt.Sprint(out, err); !strings.Contains(text, log) {
		t.Errorf("its log is %q, want %q", text, log)
	}
	w.Eventually(world.Timeout, func() error { // the base is asked now and then
		text, err := w.ThroughAPI(world.BaseID(1), "stats/summary")
		var sum stats.Summary
		if err == nil {
			err = json.Unmarshal([]byte(text), &sum)
		}
		if err == nil && (sum.Node.NodeName != w.NodeName(world.BaseID(1)) || sum.Node.Memory == nil || *sum.Node.Memory.WorkingSetBytes == 0 ||
			len(sum.Pods) != 1 || sum.Pods[0].PodRef.Name != "stock") {
			err = fmt.Errorf("the summary is %s", text)
		}
		return err
	})
}
