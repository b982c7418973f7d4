package vk

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	vke2e "github.com/virtual-kubelet/virtual-kubelet/test/e2e"

	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

// A VNode passes virtual-kubelet's own tests, over either tunnel.
func TestVirtualKubeletsOwnTests(t *testing.T) {
	t.Run("MQTT", func(t *testing.T) {
		run(t, &cluster, cluster.New(t).WithEnvironmentAccess().WithKubeletAPI(2).WithBroker().WithFleet(1).WithController())
	})
	t.Run("HTTP", func(t *testing.T) {
		run(t, &cluster, cluster.New(t).WithEnvironmentAccess().WithKubeletAPI(2).WithHTTP().WithController().WithHTTPFleet(1))
	})
	t.Run("internal IP first", func(t *testing.T) {
		own := world.StartCluster(t, "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname")
		run(t, own, own.New(t).WithEnvironmentAccess().WithKubeletAPI(2).WithBroker().WithFleet(1).WithController())
	})
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

func run(t *testing.T, of *world.Cluster, w *world.World) {
	t.Helper()
	w.AwaitNodesReady(1)
	s, err := startShim(of.Plane.Config(), w.Env, func(path string) ([]byte, error) { return w.OfNode(world.BaseID(1), path) })
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
	t.Run("Exec", func(t *testing.T) { exec(t, of, w) })
}

// exec has the API server connect to the Node's kubelet by itself.
func exec(t *testing.T, of *world.Cluster, w *world.World) {
	t.Helper()
	w.CreatePod("stock", world.BaseID(1), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	out, err := of.Plane.Kubectl(t.Context(), "exec", "-n", w.Env, "stock", "--", "modules")
	if err != nil || !strings.Contains(out, `"name": "stock"`) {
		t.Errorf("its modules are %q (%v)", out, err)
	}
}
