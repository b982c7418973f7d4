package world

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"module-controller/e2e/harness"
)

// StopTimeout is how long a replica may take to end.
const StopTimeout = 40 * time.Second

// ReplicaName is the pod name of a replica, and the name of its membership Lease.
func ReplicaName(replica int) string { return fmt.Sprintf("module-controller-%d", replica) }

// WithController starts one replica of the product, with the rights of the manifests.
func (w *World) WithController(env ...string) *World {
	w.Helper()
	return w.WithReplicas(1, env...)
}

// WithEnvironmentAccess lets replicas read the ConfigMaps and Secrets of the World's
// namespace, by the manifest that an operator applies for each such namespace.
func (w *World) WithEnvironmentAccess() *World {
	w.Helper()
	path, err := w.installation.manifest(harness.Manifest("namespace-access/rolebinding.yaml"))
	w.Must(err)
	w.Kubectl("apply", "-n", w.Env, "-f", path)
	return w
}

// WithReplicas starts n more replicas of the product, all at once. env is more
// environment, "NAME=value".
func (w *World) WithReplicas(n int, env ...string) *World {
	w.Helper()
	started := make([]*harness.Controller, n)
	var wait sync.WaitGroup
	for i := range n {
		name := ReplicaName(len(w.Replicas) + i)
		var links *Links
		if w.Proxied {
			links = w.newLinks()
		}
		wait.Go(func() {
			var err error
			if started[i], err = w.startReplica(name, links, env); err != nil {
				started[i] = nil
				w.Error(err)
			}
		})
	}
	wait.Wait()
	if w.Replicas = append(w.Replicas, started...); slices.Contains(w.Replicas, nil) {
		w.FailNow()
	}
	return w
}

// startReplica starts one replica and returns when it is ready. links are its own, or
// nil.
func (w *World) startReplica(name string, links *Links, env []string) (*harness.Controller, error) {
	ctx, cancel := context.WithTimeout(w.Context(), Timeout)
	defer cancel()
	kubeconfig, err := w.cluster.Plane.KubeconfigFor(ctx, w.installation.name, w.installation.name)
	if err != nil {
		return nil, err
	}
	brokerPort := strconv.Itoa(w.BrokerPort)
	if links != nil {
		_, brokerPort, _ = strings.Cut(links.Broker.Addr(), ":")
		if kubeconfig, err = links.kubeconfig(kubeconfig, filepath.Join(w.Dir, name+".kubeconfig")); err != nil {
			return nil, err
		}
	}
	tunnels, err := w.tunnelSettings(brokerPort)
	if err != nil {
		return nil, err
	}
	kubelets, err := w.kubeletSettings()
	if err != nil {
		return nil, err
	}
	settings := slices.Concat([]string{"POD_NAMESPACE=" + w.installation.name, "ENV=" + w.Env, "LOG_LEVEL=debug"}, tunnels, kubelets, env)
	return harness.StartController(ctx, harness.ControllerOptions{
		Binary: w.Binary, Kubeconfig: kubeconfig, PodName: name, Log: w.replicaLog(name), Env: settings,
	})
}

// tunnelSettings turns on the tunnels that the World has servers for.
func (w *World) tunnelSettings(brokerPort string) (env []string, err error) {
	if w.BrokerPort != 0 {
		env = append(env, "ENABLE_MQTT_TUNNEL=true", "MQTT_BROKER=127.0.0.1", "MQTT_PORT="+brokerPort)
	}
	if w.mqttUsers != nil {
		env = append(env, "MQTT_USERNAME="+harness.ControllerUser, "MQTT_PASSWORD="+Password(harness.ControllerUser))
	}
	if w.httpPort == 0 {
		return env, nil
	}
	port := w.httpPort
	if w.Service != nil { // behind it each replica has a port of its own
		if port, err = w.Service.Backend(); err != nil {
			return nil, err
		}
	}
	return append(env, "ENABLE_HTTP_TUNNEL=true", "HTTP_TUNNEL_LISTEN_PORT="+strconv.Itoa(port), "HTTP_TUNNEL_ALLOWED_CIDRS=127.0.0.0/8",
		"BASE_NAMESPACES="+w.Env), nil
}

// Stop has a replica end in order.
func (w *World) Stop(replica int) {
	w.Helper()
	w.Must(w.Replicas[replica].Stop(StopTimeout))
}

// StopAll has replicas end in order, all at once, within a time.
func (w *World) StopAll(within time.Duration, replicas ...*harness.Controller) {
	w.Helper()
	w.all(replicas, func(c *harness.Controller) error { return c.Stop(within) })
}

// StartAll starts replicas again, all at once.
func (w *World) StartAll(replicas ...*harness.Controller) {
	w.Helper()
	w.all(replicas, func(c *harness.Controller) error { return c.Start(w.Context()) })
}

func (w *World) all(replicas []*harness.Controller, do func(*harness.Controller) error) {
	w.Helper()
	var wait sync.WaitGroup
	for _, c := range replicas {
		wait.Go(func() { w.report(do(c)) })
	}
	wait.Wait()
}

// ReplicaOf gives the replica that is an incarnation now.
func (w *World) ReplicaOf(incarnation string) *harness.Controller {
	w.Helper()
	for i, r := range w.Replicas {
		if w.Incarnation(i) == incarnation {
			return r
		}
	}
	w.Fatalf("no replica is %s", incarnation)
	return nil
}

// AwaitPlaced waits until every base is owned by the replica that it is assigned to.
func (w *World) AwaitPlaced() {
	w.Helper()
	w.Eventually(Timeout, func() error {
		for i, c := range w.Replicas {
			if n, err := c.Metric("module_controller_bases_misplaced"); err != nil || n > 0 {
				return fmt.Errorf("replica %d owns %v bases that are assigned to others (%w)", i, n, err)
			}
		}
		return nil
	})
}

func (w *World) replicaLog(name string) string { return filepath.Join(w.Dir, name+".log") }

// LogLines counts the lines of a replica's log that contain all of some texts.
func (w *World) LogLines(replica int, texts ...string) (lines int) {
	w.Helper()
	log, err := os.ReadFile(w.replicaLog(ReplicaName(replica)))
	w.Must(err)
	for line := range strings.Lines(string(log)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			lines++
		}
	}
	return lines
}

// checkLog fails the test for errors in a replica's log.
func (w *World) checkLog(c *harness.Controller) {
	lines, err := c.ErrorLines()
	if w.APIUnreachable {
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `"logger":"client-go"`) })
	}
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return slices.ContainsFunc(w.ErrorsMeant, func(message string) bool { return strings.Contains(line, `"`+message+`"`) })
	})
	if err != nil || len(lines) > 0 {
		w.Errorf("errors in the controller's log (%v): %s", err, strings.Join(lines[:min(len(lines), 10)], ""))
	}
	warned, err := c.APIWarnings()
	if err != nil || len(warned) > 0 {
		w.Errorf("the API server warned the controller (%v): %s", err, strings.Join(warned, ""))
	}
}
