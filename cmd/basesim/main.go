// Command basesim plays Koupleless bases, so that the controller can be tried
// without a JVM, and a broker for them. Its control endpoint shows what the bases
// are and did, and has faults happen to them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/tunnel/tunneltest"
)

type options struct {
	bases                      int
	mqtt, endpoint, broker     string
	control, prefix, metaspace string
	reconnect                  time.Duration
	seed                       uint64
	base                       tunneltest.Options
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "basesim:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("basesim", flag.ContinueOnError)
	f.IntVar(&o.bases, "bases", 10, "how many bases")
	f.StringVar(&o.prefix, "identity", "base", "what identities begin with: base-0001, base-0002, …")
	f.StringVar(&o.mqtt, "mqtt", "", "broker that the bases speak to, host:port")
	f.StringVar(&o.endpoint, "heartbeat-endpoint", "", "where the bases post HTTP heartbeats, such as http://127.0.0.1:7777; they listen on 127.0.0.1")
	f.StringVar(&o.broker, "broker", "", "also be a broker, on host:port")
	f.StringVar(&o.control, "control", "", "where the control endpoint listens, host:port; empty for nowhere")
	f.StringVar(&o.base.Env, "env", "default", "environment")
	f.StringVar(&o.base.Name, "name", "", "what the bases call their application")
	f.StringVar(&o.base.Version, "version", "", "its version")
	f.StringVar(&o.base.Cluster, "cluster", "", "its cluster")
	f.StringVar(&o.base.Runtime, "runtime", "2.1.11", strings.Join(tunneltest.Runtimes(), ", "))
	f.DurationVar(&o.base.Start, "install-time", 20*time.Millisecond, "how long a module starts")
	f.DurationVar(&o.base.Heartbeat, "heartbeat", 0, "heartbeat period; default 10s over MQTT, 12s over HTTP")
	f.StringVar(&o.metaspace, "metaspace", "256Mi", "metaspace limit; -1 for none")
	f.BoolVar(&o.base.ActivateNew, "activate-new", false, "a new version serves at once, as with -Dactivate.new.module=true")
	f.BoolVar(&o.base.Several, "several", false, "several versions of a module serve at once")
	f.BoolVar(&o.base.KeepFailed, "keep-failed", false, "a module whose install failed stays in the list, broken")
	f.DurationVar(&o.base.ListenAfter, "listen-after", 0, "how long after its first HTTP heartbeat a base takes commands")
	f.DurationVar(&o.base.Clock, "clock", 0, "how wrong the bases' clocks are")
	f.DurationVar(&o.reconnect, "reconnect", 2*time.Second, "how long the pause before a lost broker is tried again grows; a real base's is 128s")
	f.Uint64Var(&o.seed, "seed", 0, "spreads install times by a fifth to either side, the same way for the same seed; 0 spreads nothing")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	size, err := resource.ParseQuantity(o.metaspace)
	if err != nil {
		return nil, fmt.Errorf("--metaspace %q: %w", o.metaspace, err)
	}
	o.base.MaxMetaspace = size.Value()
	switch {
	case o.bases < 0:
		return nil, errors.New("--bases must not be negative")
	case o.bases > 0 && (o.mqtt == "") == (o.endpoint == ""):
		return nil, errors.New("bases need --mqtt or --heartbeat-endpoint, one of them")
	case o.bases == 0 && o.broker == "":
		return nil, errors.New("nothing to do: give --bases or --broker")
	}
	return o, nil
}

func run(ctx context.Context, o *options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.broker != "" {
		b, err := tunneltest.StartBroker(o.broker)
		if err != nil {
			return err
		}
		defer func() { _ = b.Stop() }()
	}
	o.base.Jars = &tunneltest.Jars{}
	fleet := newFleet(o.base.Jars)
	for n := range o.bases {
		one := o.base
		one.Identity = fmt.Sprintf("%s-%04d", o.prefix, n+1)
		if o.seed != 0 {
			spread := rand.New(rand.NewPCG(o.seed, uint64(n))).Float64()
			one.Start = time.Duration(float64(one.Start) * (0.8 + 0.4*spread))
		}
		b, err := tunneltest.New(one)
		if err != nil {
			return err
		}
		fleet.add(b)
	}
	var wg sync.WaitGroup
	var errs []error
	var mu sync.Mutex
	part := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				cancel()
			}
		})
	}
	if o.control != "" {
		part(func(ctx context.Context) error { return fleet.serve(ctx, o.control) })
	}
	switch {
	case o.bases == 0:
	case o.mqtt != "":
		part(func(ctx context.Context) error {
			(&tunneltest.MQTTFleet{Broker: o.mqtt, Bases: fleet.bases, Reconnect: o.reconnect}).Run(ctx)
			return nil
		})
	default:
		part((&tunneltest.HTTPFleet{Endpoint: o.endpoint, Bases: fleet.bases}).Run)
	}
	<-ctx.Done()
	wg.Wait()
	return errors.Join(errs...)
}
