package world

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
	"module-controller/e2e/proxy"
)

// Timeout bounds every wait for what takes no certain time. What the product promises
// of time is checked apart.
const Timeout = 90 * time.Second

// World is one test's environment, and what runs in it.
type World struct {
	*API

	// Dir holds the logs and files of this World.
	Dir string
	// Binary is the controller that replicas run. Default: the Cluster's.
	Binary string
	// Broker is nil before WithBroker.
	Broker     *process.Process
	BrokerPort int
	// Fleet is the newest one; nil before WithFleet.
	Fleet *harness.Sim
	// Service is before the replicas' heartbeat endpoints; nil before WithService.
	Service *harness.Service
	// Replicas are in the order of their names, module-controller-0 first. One that is
	// killed or stopped stays.
	Replicas []*harness.Controller
	// Proxied gives each replica that is started from now on proxies before the API
	// server and the broker. Links has them, by replica.
	Proxied bool
	Links   []*Links
	// APIUnreachable says that the test cuts replicas off from the API server, so that
	// errors logged by client-go do not fail it.
	APIUnreachable bool
	// ErrorsMeant are messages that replicas log as errors for what the test does to them on
	// purpose.
	ErrorsMeant []string
	// Recorder is what Undisturbed records with, or what a test has set.
	Recorder *Recorder

	kubeletPorts int // of each replica that is started from now on
	brokerKind   string
	mqttUsers    []string // basesim's argument with the broker's users; none: everybody is let in
	httpPort     int
	networks     int            // of fleets over HTTP, that there were
	proxies      []*proxy.Proxy // of Links and of StartProxy
	loadPods     atomic.Int64   // that were created, for their names
}

// New makes a World for a test, with nothing running in it.
func (c *Cluster) New(tb testing.TB) *World {
	tb.Helper()
	raw := make([]byte, 3)
	_, _ = rand.Read(raw)
	env := "e" + hex.EncodeToString(raw)
	in, err := c.installations.take(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.installations.giveBack(in) }) // when all is stopped
	w := &World{API: &API{TB: tb, Env: env, cluster: c, installation: in}, Binary: c.Bin.Controller}
	w.Must(in.apply(tb.Context(), c.Plane.Kubectl))
	w.Dir = filepath.Join(c.Dir, strings.ReplaceAll(tb.Name(), "/", "-")+"-"+env)
	w.Must(os.MkdirAll(w.Dir, 0o755))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env}}
	_, err = c.Client.CoreV1().Namespaces().Create(tb.Context(), namespace, metav1.CreateOptions{})
	w.Must(err)
	tb.Cleanup(w.cleanUp)
	w.Eventually(Timeout, func() error { // without it the API server refuses pods
		_, err := c.Client.CoreV1().ServiceAccounts(env).Get(tb.Context(), "default", metav1.GetOptions{})
		return err
	})
	return w
}

// NewFleet makes a World with replicas and bases over MQTT, each base with a module that
// is Ready.
func (c *Cluster) NewFleet(tb testing.TB, replicas, bases int) *World {
	tb.Helper()
	return c.New(tb).WithBroker().WithFleet(bases).WithStock(replicas, bases)
}

// WithStock starts replicas, and a Deployment with a pod on each base that is Ready. It
// returns when each base is owned by the replica that it is assigned to.
func (w *World) WithStock(replicas, bases int, env ...string) *World {
	w.Helper()
	w.WithReplicas(replicas, append([]string{"SETTLE_TIME=3s", "LIST_INTERVAL=2s"}, env...)...)
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", Jar("stock", "1.0.0"), int32(bases), Spread)
	w.AwaitPodsReady("app=stock", bases)
	w.AwaitPlaced()
	return w
}

// File writes a file of the World's own, and returns its path.
func (w *World) File(name, text string) string {
	w.Helper()
	path := filepath.Join(w.Dir, name)
	w.Must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// StartProxy starts a proxy before a host:port. It is closed after the replicas and the
// fleet.
func (w *World) StartProxy(target string) *proxy.Proxy {
	w.Helper()
	p, err := proxy.Start(target)
	w.Must(err)
	w.proxies = append(w.proxies, p)
	return p
}

// cleanUp stops what runs and deletes what is left, and fails the test where a replica
// logged an error.
func (w *World) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	for _, c := range w.Replicas {
		if c != nil { // else it did not start
			w.report(c.Stop(StopTimeout))
			w.checkLog(c)
		}
	}
	if w.Fleet != nil {
		w.report(w.Fleet.Kill())
	}
	if w.Broker != nil {
		w.report(w.Broker.Kill())
	}
	for _, p := range w.proxies { // after those who speak through them
		w.report(p.Close())
	}
	if !w.cluster.own {
		w.deleteAll(ctx)
	}
}

// report fails the test for an error, and lets it go on.
func (w *World) report(err error) {
	if err != nil {
		w.Error(err)
	}
}

// AwaitAPI waits until the API server answers.
func (w *World) AwaitAPI() {
	w.Helper()
	w.Eventually(Timeout, func() error {
		_, err := w.cluster.Client.CoreV1().Namespaces().Get(w.Context(), w.Env, metav1.GetOptions{})
		return err
	})
}

// StayLive lets time go by in which every replica must stay live.
func (w *World) StayLive(d time.Duration) {
	w.Helper()
	over := time.Now().Add(d)
	w.Eventually(d+Timeout, func() error {
		for _, c := range w.Replicas {
			if _, err := c.Health("/livez"); err != nil {
				return harness.Final(err)
			}
		}
		if left := time.Until(over); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
}
