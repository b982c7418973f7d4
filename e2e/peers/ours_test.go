//go:build peers

package peers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// ours is the product with its defaults, as one replica. It runs and is ready before there is
// a base; then all come up at once, and the time begins with their process. Its Nodes are not
// there before: it creates them.
var ours = side{name: "ours", start: func(w *world.World, _ *world.Cluster, nodes int) running {
	w.Helper()
	if !slices.Contains(harness.Brokers(), harness.Mosquitto) {
		w.Fatal("mosquitto is not installed")
	}
	w.WithBrokerOf(harness.Mosquitto)
	return startOurs(w, nodes, "--mqtt", w.BrokerAddress(), "--heartbeat", "10s") // as often as real bases do
}}

// oursHTTP is the same with bases that speak HTTP, each at an address of its own, where its
// Pod is: what proves who sends a heartbeat. The Pods are there before.
var oursHTTP = side{name: "ours, HTTP", start: func(w *world.World, _ *world.Cluster, nodes int) running {
	w.Helper()
	w.WithHTTP()
	return startOurs(w, nodes, append(w.OverHTTP(nodes), "--heartbeat", "12s")...)
}}

func startOurs(w *world.World, nodes int, fleet ...string) running {
	w.Helper()
	w.WithController("LOG_LEVEL=info")
	began := time.Now()
	w.StartFleet(nodes, fleet...)
	return running{
		began: began, pid: w.Replicas[0].PID(),
		node:  func(n int) string { return w.NodeName(world.BaseID(n)) },
		judge: func(installed, uninstalled int) { judgeCommands(w, nodes, installed, uninstalled) },
	}
}

// judgeCommands checks that so many bases were each told once to install and to uninstall,
// and that each of it took effect.
func judgeCommands(w *world.World, bases, installed, uninstalled int) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		c := w.Counts()
		if c.Installs != installed || c.Uninstalls != uninstalled {
			return fmt.Errorf("installs %d, uninstalls %d took effect; want %d, %d", c.Installs, c.Uninstalls, installed, uninstalled)
		}
		return nil
	})
	told := map[string]int{}
	for n := range bases {
		b, err := w.Fleet.Base(world.BaseID(n + 1))
		w.Must(err)
		each := map[string]int{}
		for _, command := range b.Commands {
			each[command.Command]++
		}
		for command, times := range each {
			told[command] += times
			if times > 1 && strings.Contains(strings.ToLower(command), "install") {
				w.Errorf("%s was told %s %d times", b.Identity, command, times)
			}
		}
	}
	w.Logf("commands to %d bases: %v", bases, told)
}
