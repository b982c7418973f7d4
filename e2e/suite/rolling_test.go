package suite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"module-controller/e2e/world"
)

// Installs go on while every replica is restarted: each takes effect exactly once, and no
// base moves more often than it must. How long they wait is logged, and recorded in
// docs/measurements.md: what is fast depends on what else the machine does.
func TestInstallsGoOnInARollingRestart(t *testing.T) {
	const bases, pods = 60, 240
	w := cluster.NewFleet(t, 3, bases)
	check := w.Undisturbed(bases)
	before := w.Owners()
	asked := make(map[string]time.Time, pods)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for n := range pods {
			<-tick.C
			name := fmt.Sprintf("m%d", n)
			base := world.BaseID(1 + n%bases)
			asked[base+" "+name] = time.Now()
			if _, err := w.TryCreatePod(name, base, name, "1.0.0", world.Jar(name, "1.0.0")); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := 2; i >= 0; i-- {
		w.Stop(i)
		w.Must(w.Replicas[i].Start(t.Context()))
	}
	<-loaded
	for n := range pods {
		w.AwaitReady(fmt.Sprintf("m%d", n))
	}
	w.AwaitPlaced()
	w.CheckMoves(2, before)
	var waited []time.Duration
	for n := range bases {
		waited = append(waited, commandedAfter(w, world.BaseID(n+1), asked)...)
	}
	slices.Sort(waited)
	p99 := waited[len(waited)*99/100]
	t.Logf("%d installs while all replicas were restarted: asked to commanded p50 %s, p99 %s, most %s", len(waited),
		waited[len(waited)/2].Round(time.Millisecond), p99.Round(time.Millisecond), waited[len(waited)-1].Round(time.Millisecond))
	check()
}

// commandedAfter gives how long each install that was asked for took to come to a
// base.
func commandedAfter(w *world.World, base string, asked map[string]time.Time) (waited []time.Duration) {
	w.Helper()
	b, err := w.Fleet.Base(base)
	w.Must(err)
	for _, c := range b.Commands {
		name, _, _ := strings.Cut(c.Module, ":")
		if at, ok := asked[base+" "+name]; ok && c.Command == "installBiz" {
			waited = append(waited, c.At.Sub(at))
		}
	}
	return waited
}
