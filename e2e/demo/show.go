package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/javabase"
	"module-controller/e2e/process"
)

const (
	simulated = 30
	instances = 30 // of the module
	replicas  = 3  // of the controller
	env       = "demo"
)

// show is everything that the demo started.
type show struct {
	started    time.Time
	dir        string
	controller string // the path of its program
	plane      *controlplane.ControlPlane
	client     kubernetes.Interface
	fleet      *harness.Sim
	artifacts  javabase.Artifacts
	real       *javabase.Base
	service    *harness.Service
	replicas   []*harness.Controller
	brokerPort int
	httpPort   int
	takenOver  time.Duration
	nodesReady time.Duration
	podsReady  time.Duration
}

func now() time.Time { return time.Now() }

func (s *show) say(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(s.started).Seconds(), fmt.Sprintf(format, args...))
}

// tellPlan says what will be seen.
func (s *show) tellPlan(context.Context) error {
	fmt.Printf("On this machine alone, with nothing but Go:\n"+
		"  1. a broker and %d simulated bases, and a real one where java and mvn are found\n"+
		"  2. a real Kubernetes control plane. The first time its programs are fetched, about a\n"+
		"     minute, or where their makers' sites cannot be reached built, about 9 minutes\n"+
		"  3. %d replicas of the controller, which make each base a Node\n"+
		"  4. a Deployment of %d pods, each a module on a base\n"+
		"  5. kill -9 of a replica, and a restart of all: no Node and no module notices\n\n", simulated, replicas, instances)
	return nil
}

// bin is where the product's programs stay: what did not change is not linked again.
func bin() string { return filepath.Join(harness.Root(), "bin", "demo") }

// startFleet starts the broker and the bases, which need no control plane.
func (s *show) startFleet(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "module-controller-demo-"); err != nil {
		return err
	}
	sim, err := harness.BuildOne(ctx, bin(), "basesim", os.Stdout)
	if err != nil {
		return err
	}
	if s.brokerPort, err = process.FreePort(); err != nil {
		return err
	}
	broker := "127.0.0.1:" + strconv.Itoa(s.brokerPort)
	s.say("starting a broker at %s and %d simulated bases", broker, simulated)
	s.fleet, err = harness.StartSim(ctx, sim, filepath.Join(s.dir, "fleet.log"),
		"--broker", broker, "--bases", strconv.Itoa(simulated), "--env", env, "--mqtt", broker,
		"--install-time", "300ms", "--name", "demo-base")
	if err != nil {
		return err
	}
	s.say("the bases announce themselves, and nobody listens yet")
	return nil
}

// prepare builds the controller, and meanwhile fetches and starts the control plane, and
// builds and starts the real base. A control plane that has to be built waits for the
// controller: two builds at once would compile twice what both consist of.
func (s *show) prepare(ctx context.Context) error {
	var err error
	if s.httpPort, err = process.FreePort(); err != nil {
		return err
	}
	if s.service, err = harness.StartService(s.httpPort); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	built := make(chan struct{})
	group.Go(func() (err error) {
		defer close(built)
		s.controller, err = harness.BuildOne(ctx, bin(), "module-controller", os.Stdout)
		return err
	})
	group.Go(func() error { return s.startRealBase(ctx) })
	group.Go(func() error {
		return s.startPlane(ctx, func(ctx context.Context) error {
			select {
			case <-built:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return group.Wait()
}

func (s *show) startPlane(ctx context.Context, beforeBuild func(context.Context) error) (err error) {
	s.say("starting a control plane")
	if s.plane, err = controlplane.Start(ctx, controlplane.Options{Log: os.Stdout, BeforeBuild: beforeBuild}); err != nil {
		return err
	}
	if s.client, err = kubernetes.NewForConfig(s.plane.Config()); err != nil {
		return err
	}
	return harness.ApplyManifests(ctx, s.plane.Kubectl)
}

// startRealBase adds one JVM where Java and Maven are found.
func (s *show) startRealBase(ctx context.Context) (err error) {
	if err := javabase.Available(ctx); err != nil {
		s.say("no real base: %v", err)
		return nil
	}
	s.say("building and starting a real base (a JVM; the first time about 2 minutes)")
	if s.artifacts, err = javabase.Build(ctx, javabase.Boot3, os.Stdout); err != nil {
		return err
	}
	s.real, err = javabase.Start(ctx, javabase.Options{
		Artifacts: s.artifacts, Identity: "real-jvm", Name: "real-base",
		HeartbeatEndpoint: "http://127.0.0.1:" + strconv.Itoa(s.httpPort),
	})
	return err
}

// admitRealBase makes the Pod in which the JVM runs: who is in none is refused.
func (s *show) admitRealBase(ctx context.Context) error {
	if s.real == nil {
		return nil
	}
	return harness.CreateBasePods(ctx, s.client, metav1.NamespaceDefault, []string{"127.0.0.1"})
}

func (s *show) bases() int {
	if s.real != nil {
		return simulated + 1
	}
	return simulated
}

// tearDown ends what was started, the last first.
func (s *show) tearDown() error {
	var errs []error
	for _, c := range s.replicas {
		errs = append(errs, c.Stop(stopTimeout))
	}
	if s.service != nil {
		errs = append(errs, s.service.Close())
	}
	if s.real != nil {
		errs = append(errs, s.real.Close())
	}
	if s.fleet != nil {
		errs = append(errs, s.fleet.Stop(10*time.Second))
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
