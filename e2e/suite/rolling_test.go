package suite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Installs go on while every replica is restarted: each takes effect exactly once,
// none waits long, and no base moves more often than it must.
func TestInstallsGoOnInARollingRestart(t *testing.T) {
	const bases, pods, promised = 60, 240, time.Second
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	before := w.owners()
	asked := make(map[string]time.Time, pods)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for n := range pods {
			<-tick.C
			name := fmt.Sprintf("m%d", n)
			base := fmt.Sprintf("base-%04d", 1+n%bases)
			asked[base+" "+name] = time.Now()
			if _, err := w.createPod(name, base, name, "1.0.0", jar(name, "1.0.0")); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := 2; i >= 0; i-- {
		w.must(w.replicas[i].Stop(40 * time.Second))
		w.must(w.replicas[i].Start(t.Context()))
	}
	<-loaded
	for n := range pods {
		w.ready(fmt.Sprintf("m%d", n))
	}
	w.settled()
	w.movedAtMost(2, before)
	var waited []time.Duration
	for n := range bases {
		waited = append(waited, w.commandedAfter(fmt.Sprintf("base-%04d", n+1), asked)...)
	}
	slices.Sort(waited)
	p99 := waited[len(waited)*99/100]
	t.Logf("%d installs while all replicas were restarted: asked to commanded p50 %s, p99 %s, most %s", len(waited),
		waited[len(waited)/2].Round(time.Millisecond), p99.Round(time.Millisecond), waited[len(waited)-1].Round(time.Millisecond))
	if p99 > promised {
		t.Errorf("%s was promised for 99 of 100", promised)
	}
	check()
}

// movedAtMost checks how often each base changed its owner.
func (w *world) movedAtMost(times int32, before map[string]owner) {
	w.Helper()
	for node, o := range w.owners() {
		if moves := o.epoch - before[node].epoch; moves > times {
			w.Errorf("%s moved %d times, want %d at most", node, moves, times)
		}
	}
}

// commandedAfter gives how long each install that was asked for took to come to a
// base.
func (w *world) commandedAfter(base string, asked map[string]time.Time) (waited []time.Duration) {
	w.Helper()
	b, err := w.fleet.Base(base)
	w.must(err)
	for _, c := range b.Commands {
		name, _, _ := strings.Cut(c.Module, ":")
		if at, ok := asked[base+" "+name]; ok && c.Command == "installBiz" {
			waited = append(waited, c.At.Sub(at))
		}
	}
	return waited
}
