// Package suite runs the product on a real control plane with simulated bases,
// and asserts the state of the world: what the API shows and what the bases did.
//
// Each test has an environment, a broker, a fleet and a controller of its own; all
// share one control plane.
package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
)

var (
	plane  *controlplane.ControlPlane
	client kubernetes.Interface
	bin    harness.Binaries
	logs   string
	audits audit
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if logs, err = os.MkdirTemp("", "module-controller-e2e-"); err != nil {
		return 1, err
	}
	if bin, err = harness.Build(ctx, logs, os.Stderr); err != nil {
		return 1, err
	}
	if audits, err = newAudit(logs); err != nil {
		return 1, err
	}
	args := map[controlplane.Component][]string{controlplane.APIServer: audits.args()}
	if plane, err = controlplane.Start(ctx, controlplane.Options{Log: os.Stderr, Args: args}); err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := plane.Stop(); stopErr != nil && err == nil {
			err = stopErr
		}
	}()
	if client, err = kubernetes.NewForConfig(plane.Config()); err != nil {
		return 1, err
	}
	if err := harness.ApplyManifests(ctx, plane.Kubectl); err != nil {
		return 1, err
	}
	if code = m.Run(); code == 0 {
		return 0, os.RemoveAll(logs)
	}
	fmt.Fprintln(os.Stderr, "logs are in", filepath.Clean(logs))
	return code, nil
}
