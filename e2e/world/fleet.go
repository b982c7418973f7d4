package world

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

// WithBroker starts the embedded broker as a process, on a port of its own.
func (w *World) WithBroker() *World {
	w.Helper()
	return w.WithBrokerOf(harness.Embedded)
}

// WithGuardedBroker starts the embedded broker so that it lets in only the controller and so
// many bases, each by a password of its own, and each base speaks for itself alone.
func (w *World) WithGuardedBroker(bases int) *World {
	w.Helper()
	users := fmt.Appendf(nil, "%s:%s\n", harness.ControllerUser, Password(harness.ControllerUser))
	for n := range bases {
		users = fmt.Appendf(users, "%s:%s\n", BaseID(n+1), Password(BaseID(n+1)))
	}
	path := filepath.Join(w.Dir, "users")
	w.Must(os.WriteFile(path, users, 0o600))
	w.mqttUsers = []string{"--mqtt-users", path}
	return w.WithBroker()
}

// Password is that of a user of a guarded broker.
func Password(user string) string { return "of " + user }

// OverMQTT gives the arguments with which a fleet's bases, or every second one of a fleet that
// speaks HTTP too, speak MQTT.
func (w *World) OverMQTT() []string {
	return append([]string{"--mqtt", w.BrokerAddress()}, w.mqttUsers...)
}

// WithBrokerOf starts a broker of a kind, one of harness.Brokers.
func (w *World) WithBrokerOf(kind string) *World {
	w.Helper()
	w.brokerKind = kind
	w.BrokerPort = w.freePort()
	w.StartBroker()
	return w
}

// StartBroker starts the broker again, after it was killed, at the same port.
func (w *World) StartBroker() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), Timeout)
	defer cancel()
	var err error
	w.Broker, err = harness.StartBroker(ctx, w.brokerKind, w.cluster.Bin.Sim, w.BrokerPort, w.Dir, slices.Concat([]string{"--env", w.Env}, w.mqttUsers)...)
	w.Must(err)
}

// BrokerAddress is the broker's host:port.
func (w *World) BrokerAddress() string { return "127.0.0.1:" + strconv.Itoa(w.BrokerPort) }

// WithHTTP lets the controller take heartbeats, on a port of this World's own.
func (w *World) WithHTTP() *World {
	w.Helper()
	w.httpPort = w.freePort()
	return w
}

// WithService lets heartbeats over HTTP reach any replica.
func (w *World) WithService() *World {
	w.Helper()
	w.WithHTTP()
	var err error
	w.Service, err = harness.StartService(w.httpPort)
	w.Must(err)
	w.Cleanup(func() { w.report(w.Service.Close()) })
	return w
}

// Endpoint is the URL that takes heartbeats over HTTP.
func (w *World) Endpoint() string { return "http://127.0.0.1:" + strconv.Itoa(w.httpPort) }

func (w *World) freePort() int {
	w.Helper()
	port, err := process.FreePort()
	w.Must(err)
	return port
}

// WithFleet starts simulated bases that speak MQTT.
func (w *World) WithFleet(bases int, args ...string) *World {
	w.Helper()
	return w.StartFleet(bases, append(w.OverMQTT(), args...)...)
}

// WithHTTPFleet starts simulated bases that speak HTTP, each at an address of its own,
// which a Pod has.
func (w *World) WithHTTPFleet(bases int, args ...string) *World {
	w.Helper()
	return w.StartFleet(bases, append(w.OverHTTP(bases), args...)...)
}

// OverHTTP gives the arguments with which a fleet's bases, or every second one of a
// fleet that speaks MQTT too, speak HTTP, and creates their Pods.
func (w *World) OverHTTP(bases int) []string {
	w.Helper()
	network := w.network()
	w.CreateBasePods(harness.BaseAddresses(network, bases)...)
	return []string{"--heartbeat-endpoint", w.Endpoint(), "--network", network.String()}
}

// network is one of this World's own, of which each base has an address.
func (w *World) network() netip.Prefix {
	w.networks++
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(networksEach*w.installation.n + w.networks), 0, 0}), 16)
}

// WithQuietFleet starts simulated bases that speak HTTP and send no heartbeats, each at an
// address of its own, and creates their Pods, by which they are to be found: change is told
// which base's each is, from 1 on.
func (w *World) WithQuietFleet(bases int, change func(base int, pod *corev1.Pod), args ...string) *World {
	w.Helper()
	network := w.network()
	for i, ip := range harness.BaseAddresses(network, bases) {
		w.CreateQuietPod(ip, BaseID(i+1), func(p *corev1.Pod) { change(i+1, p) })
	}
	return w.StartFleet(bases, append([]string{"--network", network.String(), "--arklet-port", "1238", "--runtime", "2.1.6"}, args...)...)
}

// CreateQuietPod creates a Pod with an address, by which a base of an identity is to be found.
func (w *World) CreateQuietPod(ip, identity string, change func(*corev1.Pod)) {
	w.Helper()
	labels := map[string]string{harness.BasePodSelector: "java", "base.koupleless.io/find": "true"}
	w.Must(harness.CreatePodAt(w.Context(), w.cluster.Client, w.Env, ip, labels, func(p *corev1.Pod) {
		p.Annotations = map[string]string{"base.koupleless.io/identity": identity}
		change(p)
	}))
}

// CreateBasePods creates Pods with these addresses, in which bases run.
func (w *World) CreateBasePods(addresses ...string) {
	w.Helper()
	w.Must(harness.CreateBasePods(w.Context(), w.cluster.Client, w.Env, addresses))
}

// CreateStrangerPod creates a Pod with an address that may be no base.
func (w *World) CreateStrangerPod(address string) {
	w.Helper()
	w.Must(harness.CreatePodAt(w.Context(), w.cluster.Client, w.Env, address, nil))
}

// StartFleet starts simulated bases, base-0001 first, with arguments of basesim.
func (w *World) StartFleet(bases int, args ...string) *World {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), Timeout)
	defer cancel()
	var err error
	w.Fleet, err = harness.StartSim(ctx, w.cluster.Bin.Sim, filepath.Join(w.Dir, "fleet.log"),
		append([]string{"--bases", strconv.Itoa(bases), "--env", w.Env, "--heartbeat", "1s"}, args...)...)
	w.Must(err)
	return w
}

// Counts is what the fleet did.
func (w *World) Counts() harness.Counts {
	w.Helper()
	c, err := w.Fleet.Counts()
	w.Must(err)
	return c
}

// AwaitServing waits until a base truly serves exactly these modules, name:version.
func (w *World) AwaitServing(identity string, want ...string) {
	w.Helper()
	w.Eventually(Timeout, func() error {
		got, err := w.Fleet.Serving(identity)
		if err != nil {
			return err
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("base %s serves %v, want %v", identity, got, want)
		}
		return nil
	})
}

// AwaitListed waits until every base's list was asked for twice more: whoever owns it
// now has seen it, and done what followed from it.
func (w *World) AwaitListed() {
	w.Helper()
	before := w.Counts()
	w.Eventually(Timeout, func() error {
		if now := w.Counts(); now.Questions < before.Questions+3*before.Bases {
			return fmt.Errorf("%d questions were asked, were %d", now.Questions, before.Questions)
		}
		return nil
	})
}

// BaseID is the identity of the n-th simulated base of a fleet, from 1 on.
func BaseID(n int) string { return fmt.Sprintf("base-%04d", n) }
