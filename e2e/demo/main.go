// Command demo shows the product's main job, on nothing but Go: a real control
// plane, a broker, a fleet of simulated bases and, where Java and Maven are found,
// a real one; three replicas of the controller; and a Deployment of modules that
// becomes Ready. Then one replica is killed and all are started again in turn.
//
// It exits 0 only if all pods became Ready, all bases were taken over, no Node
// turned NotReady and no module was installed again. With DEMO_KEEP=1 it leaves everything
// up until it is interrupted, and prints how to look at it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv("DEMO_KEEP") == "1")
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, keep bool) (err error) {
	s := &show{started: now()}
	defer func() { err = errors.Join(err, s.tearDown()) }()
	for _, step := range []func(context.Context) error{
		s.tellPlan, s.startFleet, s.prepare, s.admitRealBase, s.startReplicas, s.awaitNodes, s.deploy, s.awaitPods,
		s.killOne, s.restartAll,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.sumUp(ctx)
	if keep {
		s.explain()
		<-ctx.Done()
	}
	return nil
}
