package provider

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"module-controller/provider/lifecycle"
	"module-controller/tunnel"
)

// However many tunnels report at once while a worker takes, each answer is taken once,
// and the last message is known.
func TestNothingReportedIsLost(t *testing.T) {
	const tunnels, each = 16, 200
	var (
		box     inbox
		reports sync.WaitGroup
		taken   = map[string]int{}
		last    time.Time
		start   = time.Now()
		moment  = func(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) }
	)
	for n := range tunnels {
		name := fmt.Sprintf("tunnel %d", n)
		reports.Go(func() {
			for i := range each {
				key := tunnel.ModuleKey{Name: fmt.Sprintf("%s module %d", name, i), Version: "1"}
				box.report(tunnel.Report{
					Base: shop, Tunnel: name, Received: moment(i),
					Answer: &tunnel.Answer{Verb: tunnel.InstallModule, Module: key, Outcome: tunnel.Done},
				})
				box.heartbeat(tunnel.Heartbeat{Base: shop, Tunnel: name, Received: moment(i)})
				box.lastSummary()
			}
		})
	}
	take := func() {
		m := box.take()
		for name := range m.Answers {
			taken[name]++
		}
		if m.LastSeen.After(last) {
			last = m.LastSeen
		}
		box.summarize(&lifecycle.Summary{Modules: len(taken)})
		box.settle(nil)
	}
	ended := make(chan struct{})
	go func() { reports.Wait(); close(ended) }()
	for going := true; going; {
		select {
		case <-ended:
			going = false
		default:
		}
		take()
	}
	if len(taken) != tunnels*each || !last.Equal(moment(each-1)) {
		t.Errorf("of %d answers %d were taken; it was heard last at %s", tunnels*each, len(taken), last.Sub(start))
	}
	for name, n := range taken {
		if n != 1 {
			t.Errorf("the answer about %s was taken %d times", name, n)
		}
	}
	if got := box.lastSummary(); got.Modules != tunnels*each {
		t.Errorf("the summary is %+v", got)
	}
}

// What wakes a worker is what it has not settled.
func TestASettledInboxWakesNobodyForTheSame(t *testing.T) {
	var box inbox
	listed := []tunnel.Module{{ModuleKey: orders, State: tunnel.Activated}}
	list := func(modules []tunnel.Module) bool {
		return box.report(tunnel.Report{Base: shop, Tunnel: "wire", Listed: true, Modules: modules, Received: time.Now()})
	}
	box.settle(listed)
	if list(listed) {
		t.Error("the same list wakes")
	}
	if !list(nil) {
		t.Error("another list does not wake")
	}
	box.unsettle()
	if !list(listed) {
		t.Error("unsettled, the same list does not wake")
	}
	box.settle(listed)
	if box.nodeDeleted("u"); !list(listed) || box.take().NodeLost != "u" {
		t.Error("the deletion of the Node is lost")
	}
}

// Lists that were asked for are owed until it is known that none will come.
func TestRequestsThatNobodyHeardAreForgotten(t *testing.T) {
	var box inbox
	box.asked(time.Now())
	box.asked(time.Now())
	if m := box.take(); m.Owed != 2 {
		t.Errorf("owed are %d lists", m.Owed)
	}
	box.forgetRequests()
	if m := box.take(); m.Owed != 0 {
		t.Errorf("owed are %d lists", m.Owed)
	}
}

// A Turn that has nothing to tell gauges leaves the last summary.
func TestASummaryStaysUntilTheNext(t *testing.T) {
	var box inbox
	box.summarize(&lifecycle.Summary{Served: true, Modules: 3})
	box.summarize(nil)
	if got := box.lastSummary(); got != (lifecycle.Summary{Served: true, Modules: 3}) {
		t.Errorf("it is %+v", got)
	}
}
