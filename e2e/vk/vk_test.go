package vk

import (
	"context"
	"path/filepath"
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
		run(t, cluster.New(t).WithEnvironmentAccess().WithBroker().WithFleet(1).WithController())
	})
	t.Run("HTTP", func(t *testing.T) {
		run(t, cluster.New(t).WithEnvironmentAccess().WithHTTP().WithController().WithHTTPFleet(1))
	})
}

// interpret has an interpreter at work until the test ends.
func interpret(t *testing.T, env string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&interpreter{client: cluster.Client, env: env}).run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func run(t *testing.T, w *world.World) {
	t.Helper()
	w.AwaitNodesReady(1)
	s, err := startShim(cluster.Plane.Config(), w.Env, func() ([]string, error) { return w.Fleet.Serving(world.BaseID(1)) })
	w.Must(err)
	t.Cleanup(s.server.Close)
	interpret(t, w.Env)
	kubeconfig := filepath.Join(w.Dir, "shim.kubeconfig")
	w.Must(s.kubeconfig(kubeconfig))
	suite := vke2e.NewEndToEndTestSuite(vke2e.EndToEndTestSuiteConfig{
		Kubeconfig: kubeconfig, Namespace: w.Env, NodeName: w.NodeName(world.BaseID(1)), WatchTimeout: 30 * time.Second,
	})
	suite.Setup(t) // the Node is Ready
	for name, test := range map[string]func(*testing.T){
		"GracefulDelete":               suite.TestPodLifecycleGracefulDelete,
		"ForceDelete":                  suite.TestPodLifecycleForceDelete,
		"OptionalInexistentSecrets":    suite.TestCreatePodWithOptionalInexistentSecrets,
		"MandatoryInexistentSecrets":   suite.TestCreatePodWithMandatoryInexistentSecrets,
		"OptionalInexistentConfigMap":  suite.TestCreatePodWithOptionalInexistentConfigMap,
		"MandatoryInexistentConfigMap": suite.TestCreatePodWithMandatoryInexistentConfigMap,
	} {
		t.Run(name, test)
	}
}
