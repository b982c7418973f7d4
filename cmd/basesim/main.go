// Command basesim plays Koupleless bases, so that the controller can be tried
// without a JVM, and a broker for them. Its control endpoint shows what the bases
// are and did, and has faults happen to them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/tunnel/basetest"
)

type options struct {
	bases                      int
	mqtt, endpoint, broker     string
	usersFile                  string
	users                      basetest.Users
	control, prefix, metaspace string
	reconnect                  time.Duration
	perConnection, port        int
	seed                       uint64
	network                    netip.Prefix
	base                       basetest.Options
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "basesim:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("basesim", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.bases, "bases", 10, "how many bases")
	f.StringVar(&o.prefix, "identity", "base", "what identities begin with: base-0001, base-0002, …")
	f.StringVar(&o.mqtt, "mqtt", "", "broker that the bases speak to, host:port; default the one that --broker starts")
	f.StringVar(&o.endpoint, "heartbeat-endpoint", "", "where the bases post HTTP heartbeats, such as http://127.0.0.1:7777; they listen on 127.0.0.1, or in --network; beside --mqtt, every second base does")
	f.TextVar(&o.network, "network", netip.Prefix{}, "network in which each base has an address of its own, such as 127.1.0.0/16: it listens there, and its heartbeats come from there; base-0001 has the first address after the network's")
	f.IntVar(&o.port, "arklet-port", 0, "port on which bases in --network listen, each at its own address; they send no heartbeats, as runtimes before 2.1.8 do not")
	f.StringVar(&o.broker, "broker", "", "also be a broker, on host:port")
	f.StringVar(&o.usersFile, "mqtt-users", "", "file with lines name:password: the broker lets in nobody else, and each may do what the samples for brokers let him; a base's name is its identity, the controller's "+basetest.ControllerUser+"; each base connects for itself, as its user")
	f.StringVar(&o.control, "control", "", "where the control endpoint listens, host:port; port 0 takes a free one, which is printed; empty for nowhere")
	f.DurationVar(&o.reconnect, "reconnect", 2*time.Second, "how long the pause before a lost broker is tried again grows; a real base's grows to 128s")
	f.IntVar(&o.perConnection, "per-connection", 250, "how many bases share a connection to the broker")
	f.Uint64Var(&o.seed, "seed", 0, "spreads install times by a fifth to either side, the same way for the same seed; 0 spreads nothing")
	o.baseFlags(f)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return o, o.check()
}

// baseFlags are what all bases are like.
func (o *options) baseFlags(f *flag.FlagSet) {
	f.StringVar(&o.base.Env, "env", "default", "environment")
	f.StringVar(&o.base.Name, "name", "", "what the bases call their application")
	f.StringVar(&o.base.Version, "version", "", "its version")
	f.StringVar(&o.base.Cluster, "cluster", "", "its cluster")
	f.StringVar(&o.base.Hostname, "hostname", "", "what they call their host; default each its address")
	f.StringVar(&o.base.Runtime, "runtime", "2.1.11", "the runtime's version: "+strings.Join(basetest.Runtimes(), ", "))
	f.DurationVar(&o.base.Start, "install-time", 20*time.Millisecond, "how long a module starts")
	f.DurationVar(&o.base.Heartbeat, "heartbeat", 0, "heartbeat period; default 10s over MQTT, 12s over HTTP")
	f.DurationVar(&o.base.ListenAfter, "listen-after", 0, "how long after its first HTTP heartbeat a base takes commands")
	f.StringVar(&o.metaspace, "metaspace", "256Mi", "metaspace limit; -1 for none")
	f.BoolVar(&o.base.ActivateNew, "activate-new", false, "a new version serves at once, as with -Dactivate.new.module=true")
	f.BoolVar(&o.base.Several, "several", false, "several versions of a module serve at once")
	f.BoolVar(&o.base.KeepFailed, "keep-failed", false, "a module whose install failed stays in the list, broken")
	f.DurationVar(&o.base.Clock, "clock", 0, "how wrong the bases' clocks are")
}

// check names every fault of the options at once.
func (o *options) check() error {
	var errs []error
	size, err := resource.ParseQuantity(o.metaspace)
	if err != nil {
		errs = append(errs, fmt.Errorf("--metaspace %q: %w", o.metaspace, err))
	}
	o.base.MaxMetaspace = size.Value()
	if o.usersFile != "" {
		if err := o.readUsers(); err != nil {
			errs = append(errs, fmt.Errorf("--mqtt-users: %w", err))
		}
	}
	fault := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	fault(o.bases < 0, "--bases must not be negative")
	fault(o.bases > 0 && o.port == 0 && o.mqtt+o.endpoint+o.broker == "", "bases need --mqtt, --heartbeat-endpoint, --arklet-port or --broker")
	fault(o.port != 0 && (o.mqtt+o.endpoint+o.broker != "" || !o.network.IsValid()), "--arklet-port needs --network, and neither --mqtt, --heartbeat-endpoint nor --broker")
	fault(o.bases == 0 && o.broker == "", "nothing to do: give --bases or --broker")
	fault(o.perConnection < 1, "--per-connection must be positive")
	return errors.Join(errs...)
}

func (o *options) readUsers() error {
	f, err := os.Open(o.usersFile)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	o.users, err = basetest.ReadUsers(f)
	return err
}

// run plays until ctx ends or something cannot go on.
func run(ctx context.Context, o *options, out io.Writer) (err error) {
	fleet, err := o.fleet()
	if err != nil {
		return err
	}
	if o.broker != "" {
		if fleet.broker, err = o.startBroker(out); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, fleet.broker.Stop()) }()
		if o.mqtt == "" && o.endpoint == "" {
			o.mqtt = fleet.broker.Address()
		}
	}
	parts, ctx := errgroup.WithContext(ctx)
	if o.control != "" {
		parts.Go(func() error { return fleet.serve(ctx, o.control, out) })
	}
	overMQTT, overHTTP := o.split(fleet.bases)
	parts.Go(func() error {
		(&basetest.MQTTFleet{Broker: o.mqtt, Bases: overMQTT, Reconnect: o.reconnect, PerConnection: o.perConnection, Users: o.users}).Run(ctx)
		return nil
	})
	parts.Go(func() error {
		f := &basetest.HTTPFleet{Port: o.port, Bases: overHTTP}
		if o.endpoint != "" {
			f.Endpoints = []string{o.endpoint}
		}
		return f.Run(ctx)
	})
	return parts.Wait()
}

// startBroker starts a broker that writes its address and who connects to out.
func (o *options) startBroker(out io.Writer) (*basetest.Broker, error) {
	b := basetest.NewBroker(o.broker)
	if o.users != nil {
		b.Guard(o.users.Ledger(o.base.Env))
	}
	b.Greet(func(client string) {
		_, _ = fmt.Fprintf(out, "%s client %s connected\n", time.Now().Format(time.RFC3339Nano), client)
	})
	if err := b.Start(); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(out, "broker on %s\n", b.Address())
	return b, nil
}

// split divides the bases into those over MQTT and those over HTTP.
func (o *options) split(bases []*basetest.Base) (overMQTT, overHTTP []*basetest.Base) {
	for n, b := range bases {
		if o.port != 0 || o.endpoint != "" && (o.mqtt == "" || n%2 == 1) {
			overHTTP = append(overHTTP, b)
		} else {
			overMQTT = append(overMQTT, b)
		}
	}
	return overMQTT, overHTTP
}

// fleet makes the bases.
func (o *options) fleet() (*fleet, error) {
	o.base.Jars = &basetest.Jars{}
	f := newFleet(o.base.Jars)
	address := o.network.Addr() // the one before the first base's
	for n := range o.bases {
		one := o.base
		one.Identity = fmt.Sprintf("%s-%04d", o.prefix, n+1)
		if address.IsValid() {
			address = address.Next()
			one.IP = address.String()
		}
		if o.seed != 0 {
			spread := rand.New(rand.NewPCG(o.seed, uint64(n))).Float64()
			one.Start = time.Duration(float64(one.Start) * (0.8 + 0.4*spread))
		}
		b, err := basetest.New(one)
		if err != nil {
			return nil, err
		}
		f.add(b)
	}
	return f, nil
}
