package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
)

// startTimeout bounds the start of a Cluster; most of it is for building Kubernetes on a
// machine that never did.
const startTimeout = 30 * time.Minute

// Cluster is what the tests of one package share. Its fields are set while Main runs
// the tests.
type Cluster struct {
	Plane *controlplane.ControlPlane
	// Client may do everything.
	Client kubernetes.Interface
	Bin    harness.Binaries
	// Dir holds the binaries, the audit log and a folder for each World. It is removed
	// when all tests have passed.
	Dir string
	// JudgesRights has Main check, when all tests have run, that replicas were denied
	// nothing and used each right that the manifests give them, except Unused. What was
	// used is looked at only where no test was left out.
	JudgesRights bool
	// Unused are rights that no test of the package uses, each as "verb resource.group" or
	// "verb resource.group in namespace".
	Unused []string

	audit         audit
	denied        denials
	installations *installations
	own           bool // it ends with its World, which leaves nothing to delete
}

// Main starts the Cluster, runs the tests of a package, stops it and exits with their
// code.
func (c *Cluster) Main(m *testing.M) {
	code, err := c.run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (c *Cluster) run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.start(ctx); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, c.Plane.Stop()) }()
	if c.Client, err = kubernetes.NewForConfig(c.Plane.Config()); err != nil {
		return 1, err
	}
	if err := harness.ApplyManifests(ctx, c.Plane.Kubectl); err != nil {
		return 1, err
	}
	c.installations = newInstallations(c.Dir)
	code = m.Run()
	if err := c.judgeRights(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		return 0, os.RemoveAll(c.Dir)
	}
	fmt.Fprintln(os.Stderr, "logs are in", filepath.Clean(c.Dir))
	return code, nil
}

// start builds the programs and starts the control plane.
func (c *Cluster) start(ctx context.Context) (err error) {
	if c.Dir, err = os.MkdirTemp("", "module-controller-e2e-"); err != nil {
		return err
	}
	if c.Bin, err = harness.Build(ctx, c.Dir, os.Stderr); err != nil {
		return err
	}
	if c.audit, err = newAudit(c.Dir, c.JudgesRights); err != nil {
		return err
	}
	args := map[controlplane.Component][]string{controlplane.APIServer: c.audit.args()}
	c.Plane, err = controlplane.Start(ctx, controlplane.Options{Log: os.Stderr, Args: args})
	return err
}
