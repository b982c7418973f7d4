package suite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
	"module-controller/e2e/proxy"
)

// world is one test's environment: its name is the environment, the namespace and
// the prefix of everything in it.
type world struct {
	*testing.T
	env        string
	brokerPort int
	httpPort   int
	service    *harness.Service // before several replicas that speak HTTP
	brokerKind string
	broker     *process.Process
	fleet      *harness.Sim
	controller *harness.Controller   // the first of replicas
	replicas   []*harness.Controller // in the order of their names
	// proxied: replicas that are started get proxies before the API server and the
	// broker; links has them, by replica.
	proxied  bool
	links    []*links
	proxies  []*proxy.Proxy
	dir      string
	recorded *recorder    // what undisturbed watches
	loaded   atomic.Int64 // pods that came and went
	// apiAway: the API server was cut off, of which client-go logs errors.
	apiAway bool
}

// patience bounds every wait; what a bar says of time is checked apart.
const patience = 90 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	raw := make([]byte, 3)
	_, _ = rand.Read(raw)
	w := &world{T: t, env: "e" + hex.EncodeToString(raw)}
	w.dir = filepath.Join(logs, strings.ReplaceAll(t.Name(), "/", "-")+"-"+w.env)
	w.must(os.MkdirAll(w.dir, 0o755))
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.env}}, metav1.CreateOptions{})
	w.must(err)
	t.Cleanup(w.cleanUp)
	w.eventually(patience, func() error { // without it the API server refuses pods
		_, err := client.CoreV1().ServiceAccounts(w.env).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// onEachBroker runs a test on every kind of broker that there is here.
func onEachBroker(t *testing.T, test func(t *testing.T, broker string)) {
	for _, kind := range harness.Brokers() {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// withBroker starts the embedded broker as a process, on a port of its own.
func (w *world) withBroker() *world {
	w.Helper()
	return w.withBrokerOf(harness.Embedded)
}

func (w *world) withBrokerOf(kind string) *world {
	w.Helper()
	w.brokerKind = kind
	var err error
	w.brokerPort, err = process.FreePort()
	w.must(err)
	w.startBroker()
	return w
}

// withHTTP lets the controller take heartbeats, on a port of this world's own.
func (w *world) withHTTP() *world {
	w.Helper()
	var err error
	w.httpPort, err = process.FreePort()
	w.must(err)
	return w
}

// withService lets heartbeats reach any replica, over HTTP.
func (w *world) withService() *world {
	w.Helper()
	w.withHTTP()
	var err error
	w.service, err = harness.StartService(w.httpPort)
	w.must(err)
	w.Cleanup(func() {
		if err := w.service.Close(); err != nil {
			w.Error(err)
		}
	})
	return w
}

func (w *world) endpoint() string { return "http://127.0.0.1:" + strconv.Itoa(w.httpPort) }

// withHTTPFleet starts simulated bases that speak HTTP.
func (w *world) withHTTPFleet(bases int, args ...string) *world {
	w.Helper()
	w.startFleet(bases, append([]string{"--heartbeat-endpoint", w.endpoint()}, args...))
	return w
}

func (w *world) startBroker() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var err error
	w.broker, err = harness.StartBroker(ctx, w.brokerKind, bin.Sim, w.brokerPort, w.dir)
	w.must(err)
}

// withFleet starts simulated bases that speak MQTT.
func (w *world) withFleet(bases int, args ...string) *world {
	w.Helper()
	w.startFleet(bases, append([]string{"--mqtt", "127.0.0.1:" + strconv.Itoa(w.brokerPort)}, args...))
	return w
}

func (w *world) startFleet(bases int, args []string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var err error
	w.fleet, err = harness.StartSim(ctx, bin.Sim, filepath.Join(w.dir, "fleet.log"),
		append([]string{"--bases", strconv.Itoa(bases), "--env", w.env, "--heartbeat", "1s"}, args...)...)
	w.must(err)
}

// withController starts the product under the rights of the manifests.
func (w *world) withController(env ...string) *world {
	w.Helper()
	return w.withReplicas(1, env...)
}

// withReplicas starts more replicas of the product, all at once.
func (w *world) withReplicas(n int, env ...string) *world {
	w.Helper()
	started := make([]*harness.Controller, n)
	var wait sync.WaitGroup
	for i := range n {
		name := "module-controller-" + strconv.Itoa(len(w.replicas)+i)
		var between *links
		if w.proxied {
			between = w.newLinks()
		}
		wait.Go(func() { started[i] = w.startReplica(name, between, env) })
	}
	wait.Wait()
	if w.replicas = append(w.replicas, started...); slices.Contains(w.replicas, nil) {
		w.FailNow()
	}
	w.controller = w.replicas[0]
	return w
}

// startReplica starts one replica and returns when it is ready; nil where that
// failed.
func (w *world) startReplica(name string, between *links, env []string) *harness.Controller {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	kubeconfig, err := plane.KubeconfigFor(ctx, harness.Namespace, harness.ServiceAccount)
	if err != nil {
		w.Error(err)
		return nil
	}
	base := []string{"ENV=" + w.env, "LOG_LEVEL=debug"}
	brokerPort := strconv.Itoa(w.brokerPort)
	if between != nil {
		_, brokerPort, _ = strings.Cut(between.broker.Addr(), ":")
		if kubeconfig, err = between.kubeconfig(kubeconfig, filepath.Join(w.dir, name+".kubeconfig")); err != nil {
			w.Error(err)
			return nil
		}
	}
	if w.brokerPort != 0 {
		base = append(base, "ENABLE_MQTT_TUNNEL=true", "MQTT_BROKER=127.0.0.1", "MQTT_PORT="+brokerPort)
	}
	if w.httpPort != 0 {
		port := w.httpPort
		if w.service != nil { // behind it each has a port of its own
			if port, err = w.service.Backend(); err != nil {
				w.Error(err)
				return nil
			}
		}
		base = append(base, "ENABLE_HTTP_TUNNEL=true", "HTTP_TUNNEL_LISTEN_PORT="+strconv.Itoa(port), "HTTP_TUNNEL_ALLOWED_CIDRS=127.0.0.0/8")
	}
	c, err := harness.StartController(ctx, harness.ControllerOptions{
		Binary: bin.Controller, Kubeconfig: kubeconfig, PodName: name,
		Log: filepath.Join(w.dir, name+".log"), Env: append(base, env...),
	})
	if err != nil {
		w.Error(err)
		return nil
	}
	return c
}

func (w *world) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range w.replicas {
		if c == nil {
			continue // it did not start
		}
		if err := c.Stop(40 * time.Second); err != nil {
			w.Error(err)
		}
		lines, err := c.ErrorLines()
		if w.apiAway {
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `"logger":"client-go"`) })
		}
		if err != nil || len(lines) > 0 {
			w.Errorf("errors in the controller's log (%v): %s", err, strings.Join(lines[:min(len(lines), 10)], ""))
		}
	}
	if w.fleet != nil {
		if err := w.fleet.Kill(); err != nil {
			w.Error(err)
		}
	}
	if w.broker != nil {
		if err := w.broker.Kill(); err != nil {
			w.Error(err)
		}
	}
	for _, p := range w.proxies { // after those who speak through them
		if err := p.Close(); err != nil {
			w.Error(err)
		}
	}
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	byEnv := metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env}
	for _, err := range []error{
		client.AppsV1().Deployments(w.env).DeleteCollection(ctx, now, metav1.ListOptions{}),
		client.CoreV1().Pods(w.env).DeleteCollection(ctx, now, metav1.ListOptions{}),
		client.CoreV1().Nodes().DeleteCollection(ctx, now, byEnv),
		client.CoordinationV1().Leases("kube-node-lease").DeleteCollection(ctx, now, byEnv),
		client.CoreV1().Namespaces().Delete(ctx, w.env, now),
	} {
		if err != nil {
			w.Error(err)
		}
	}
}

// file writes a file of the world's own.
func (w *world) file(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	w.must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// eventually waits until check gives no error.
func (w *world) eventually(within time.Duration, check func() error) {
	w.Helper()
	ctx, cancel := context.WithTimeoutCause(w.Context(), within, fmt.Errorf("%s were over", within))
	defer cancel()
	w.must(harness.Until(ctx, check))
}
