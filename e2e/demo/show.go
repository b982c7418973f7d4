package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

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
	bin        harness.Binaries
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

func (s *show) startPlane(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "module-controller-demo-"); err != nil {
		return err
	}
	if s.bin, err = harness.Build(ctx, s.dir, os.Stdout); err != nil {
		return err
	}
	s.say("starting a control plane (the first time it is built: about 10 minutes, then cached)")
	if s.plane, err = controlplane.Start(ctx, controlplane.Options{Log: os.Stdout}); err != nil {
		return err
	}
	if s.client, err = kubernetes.NewForConfig(s.plane.Config()); err != nil {
		return err
	}
	return harness.ApplyManifests(ctx, s.plane.Kubectl)
}

func (s *show) startFleet(ctx context.Context) (err error) {
	if s.brokerPort, err = process.FreePort(); err != nil {
		return err
	}
	broker := "127.0.0.1:" + strconv.Itoa(s.brokerPort)
	s.say("starting a broker and %d simulated bases", simulated)
	s.fleet, err = harness.StartSim(ctx, s.bin.Sim, filepath.Join(s.dir, "fleet.log"),
		"--broker", broker, "--bases", strconv.Itoa(simulated), "--env", env, "--mqtt", broker,
		"--install-time", "300ms", "--name", "demo-base")
	return err
}

// startRealBase adds one JVM where Java and Maven are found.
func (s *show) startRealBase(ctx context.Context) (err error) {
	if s.httpPort, err = process.FreePort(); err != nil {
		return err
	}
	if s.service, err = harness.StartService(s.httpPort); err != nil {
		return err
	}
	if err := javabase.Available(ctx); err != nil {
		s.say("no real base: %v", err)
		return nil
	}
	if err := harness.CreateBasePods(ctx, s.client, metav1.NamespaceDefault, []string{"127.0.0.1"}); err != nil { // where the JVM will be
		return err
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
