package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// servedOver tells of a base that is served over HTTP since 1 s, with a Node.
var servedOverHTTP = []string{
	"0s link up tunnel=http", "0s link up", "1s heartbeat shop tunnel=http port=1238", "1s claim 1", "1s turn", "1s turn",
	"1.1s health 1h tunnel=http", "1.1s list tunnel=http", "1.1s turn",
}

// boundOverHTTP is the same of a base that is bound to a Pod.
var boundOverHTTP = append([]string{
	"0s link up tunnel=http", "0s link up", "1s heartbeat shop tunnel=http port=1238 workload=ns/shop/1"}, servedOverHTTP[3:]...)

// Who lives is not moved, renamed or deleted; what proves that it lives depends on who
// contends. Who would have its Node deleted must be heard for StaleAfter too.
func TestWhoseSignOfLifeCounts(t *testing.T) {
	const own, claimed = 30 * time.Second, 35 * time.Second // the sign, the contender's first word
	for _, c := range []struct {
		name      string
		served    []string
		contender string
		sign      string
		// from is what the StaleAfter counts from that end it.
		from time.Duration
	}{
		{"HTTP, its heartbeat", servedOverHTTP, "shop tunnel=http port=9", "heartbeat shop tunnel=http port=1238", own},
		{"HTTP, it answers at its own address", servedOverHTTP, "shop tunnel=http port=9", "list tunnel=http", own},
		{"HTTP, an answer at the address that two claim", servedOverHTTP, "bank tunnel=http port=1238", "list tunnel=http", claimed},
		{"HTTP, an answer at the address that another workload has", boundOverHTTP, "shop tunnel=http port=1238 workload=ns/shop/2", "list tunnel=http", claimed},
		{"HTTP, something through MQTT", servedOverHTTP, "shop tunnel=http port=9", "list", 1100 * time.Millisecond},
		{"HTTP, nothing", servedOverHTTP, "shop tunnel=http port=9", "cache current", 1100 * time.Millisecond},
		{"HTTP, nothing, and another application", servedOverHTTP, "bank tunnel=http port=9", "cache current", claimed},
		{"MQTT contends with HTTP, which answers", servedOverHTTP, "shop", "list tunnel=http", own},
		{"MQTT, its heartbeat", served, "shop ip=192.0.2.9", "heartbeat shop", claimed},
		{"MQTT, an answer, which may be the other's", served, "shop ip=192.0.2.9", "list", claimed},
		{"HTTP contends with MQTT, which answers", served, "shop tunnel=http port=9", "list", own},
		{"HTTP contends with MQTT, and is another application", served, "bank tunnel=http port=9", "list", claimed},
	} {
		t.Run(c.name, func(t *testing.T) {
			ends := c.from + within
			s := told(t, c.served, []string{
				"0s link up tunnel=http", "30s " + c.sign, "30s turn", "35s heartbeat " + c.contender, "35s turn",
				fmt.Sprintf("%s heartbeat %s", ends-2*time.Second, c.contender),
			})
			if do := s.turnAt(ends - time.Millisecond); do.Moved != nil || do.Retire != nil {
				t.Errorf("it lives, and is moved %+v, retired %+v", do.Moved, do.Retire)
			}
			if do := s.turnAt(ends); do.Moved == nil && do.Retire == nil {
				t.Error("it is silent, and still holds its place")
			}
		})
	}
}

// No single message ends a base that answers, however long its heartbeats are dead: the Java
// heartbeat stops for good after one failed publish.
func TestOneLateMessageEndsNothing(t *testing.T) {
	for _, c := range []struct {
		name, contender string
		served          []string
		// pause: it falls silent as the other speaks, for less long than it may.
		pause bool
	}{
		{"on its topics", "bank ip=192.0.2.9", served, true},
		{"over HTTP, with its own name", "shop tunnel=http port=1238", served, false},
		{"over HTTP, with another name", "bank tunnel=http port=1238", served, true},
		{"at its own address, with another name", "bank tunnel=http port=1238", servedOverHTTP, true},
		{"over MQTT, with its own name", "shop", servedOverHTTP, false},
		{"over MQTT, with another name", "bank", servedOverHTTP, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := told(t, []string{"0s link up tunnel=http"}, c.served)
			for n := 10; n < 400; n += 10 {
				if !c.pause || n < 200 || n > 230 {
					s.do(fmt.Sprintf("%ds list tunnel=%s", n, s.base.Tunnel()))
				}
				if n == 200 {
					s.do("200s heartbeat " + c.contender)
				}
				do := s.turnAt(time.Duration(n) * time.Second)
				if do.Retire != nil || do.Moved != nil {
					t.Fatalf("after %d s it is retired: %+v, moved: %+v", n, do.Retire, do.Moved)
				}
			}
		})
	}
}

// Where StaleAfter is shorter than the pause between heartbeats a contender is believed too,
// and a single message still ends nothing.
func TestAContenderIsHeardForLongerThanASilenceLasts(t *testing.T) {
	for _, served := range [][]string{served, servedOverHTTP} {
		s := told(t, served)
		s.base.cfg.StaleAfter = 4 * time.Second
		s.binds()
		h := s.beat(s.base.Tunnel(), "bank", map[string]string{"port": fmt.Sprint(s.base.about.heartbeat.Port)})
		says := func(after time.Duration) Actions {
			h.Received = at(after)
			s.mailbox.Heartbeat(h)
			return s.turnAt(after)
		}
		if do := says(10 * time.Second); do.Retire != nil {
			t.Error("it ends by the first message")
		}
		for n := 11; n < 22; n++ {
			if do := s.turnAt(time.Duration(n) * time.Second); do.Retire != nil {
				t.Errorf("after %d s it ends by one message", n)
			}
		}
		if do := says(22 * time.Second); do.Retire == nil || do.Retire.Successor == nil {
			t.Errorf("after two heartbeats it still holds its place: %+v", do)
		}
	}
}

// A base over HTTP that contends with one over MQTT has that one asked at once.
func TestWhoMayAnswerIsAsked(t *testing.T) {
	s := told(t, []string{"0s link up tunnel=http"}, served, []string{"5s heartbeat bank tunnel=http port=9"})
	if do := s.turnAt(5 * time.Second); !slices.Contains(do.Talk.Ask, tunnel.ListModules) {
		t.Errorf("it is asked %v", do.Talk.Ask)
	}
	s = told(t, served, []string{"5s heartbeat bank ip=192.0.2.9"}) // its answer would tell nothing
	if do := s.turnAt(5 * time.Second); len(do.Talk.Ask) > 0 {
		t.Errorf("it is asked %v", do.Talk.Ask)
	}
}

// Contenders are told of once in ten minutes, whoever they are, and a base that speaks over
// two tunnels is no contender to tell of if it is proved to be itself.
func TestContendersAreToldOfOnce(t *testing.T) {
	s := told(t, servedOverHTTP)
	var events []plan.Event
	for i := range 1000 {
		after := 2*time.Second + time.Duration(i)*time.Second
		h := s.beat("http", "shop", map[string]string{"port": "9", "host": fmt.Sprint("liar-", i)})
		own := s.beat("http", "shop", map[string]string{"port": "1238"})
		h.Received, own.Received = at(after), at(after)
		s.mailbox.Heartbeat(h)
		s.mailbox.Heartbeat(own)
		do := s.turnAt(after)
		if told := len(do.Write.Events) > 0; told != (do.Contested != nil) {
			t.Fatalf("logged %v, Events %v", do.Contested, do.Write.Events)
		}
		events = append(events, do.Write.Events...)
	}
	if len(events) != 2 || !events[0].Warning || events[0].Reason != plan.ReasonBaseContested || !strings.Contains(events[0].Message, "192.0.2.1:9 (liar-0)") {
		t.Errorf("in 1000 s it is told %+v", events)
	}
	twice := told(t, served, []string{"2s heartbeat shop tunnel=http port=1238 workload=ns/shop-0/1"})
	if do := twice.turnAt(2 * time.Second); do.Contested != nil || len(do.Write.Events) > 0 {
		t.Errorf("it is told of itself: %+v", do.Write.Events)
	}
}

// What was sent to the place before has no answer any more, and what the process there
// knew is not the new one's.
func TestAMoveForgetsThePlaceBefore(t *testing.T) {
	s := told(t, servedOverHTTP, []string{
		"1.2s features switch tunnel=http", "1.2s pod u1 orders:1", "1.2s turn", "2s heartbeat shop tunnel=http port=9", "40s heartbeat shop tunnel=http port=9",
	})
	do := s.turnAt(42 * time.Second)
	if do.Moved == nil || do.Talk.Follow == nil || do.Talk.Follow.Port != 9 {
		t.Fatalf("moved %+v, followed %+v", do.Moved, do.Talk.Follow)
	}
	if len(s.base.seen.Modules) > 0 || s.base.seen.Features != (tunnel.Features{}) || s.base.talk.owed > 1 || len(do.Talk.Send) > 0 {
		t.Errorf("it knows %+v, owes %d, is sent %v", s.base.seen, s.base.talk.owed, do.Talk.Send)
	}
	if s.base.ledger.InFlight() != 0 {
		t.Errorf("in flight are %+v", s.base.ledger.Attempts)
	}
}

// What a base says of itself is written three times at once, and then every ten seconds;
// its readiness waits for nothing.
func TestADescriptionHasAPace(t *testing.T) {
	s := told(t, servedOverHTTP)
	writes := 0
	shown := func() string { return s.facts.Node.Labels["base.koupleless.io/host-name"] }
	for i := range 600 {
		after := 2*time.Second + time.Duration(i)*100*time.Millisecond
		h := s.beat("http", "shop", map[string]string{"port": "1238", "host": fmt.Sprint("h", i)})
		h.Received = at(after)
		s.mailbox.Heartbeat(h)
		if do := s.turnAt(after); do.Write.Node != nil {
			writes++
			s.perform(do)
		}
	}
	if most := describeBurst + 6; writes > most || writes < 6 {
		t.Errorf("in a minute it is described %d times, want at most %d", writes, most)
	}
	for now := 61900 * time.Millisecond; shown() != "h599"; {
		if now > 72*time.Second {
			t.Fatalf("the last description is not written: it is %s", shown())
		}
		do := s.turnAt(now)
		s.perform(do)
		now = do.due().Sub(noon)
	}
	h := s.beat("http", "shop", map[string]string{"port": "1238", "host": "late"})
	h.Received = at(72 * time.Second)
	for range 5 { // nothing is left of the burst
		s.mailbox.Heartbeat(h)
		if do := s.turnAt(72 * time.Second); do.Write.Node != nil {
			s.perform(do)
		}
		h.Hostname += "r"
	}
	do := s.turnAt(112 * time.Second)
	if do.Write.Node == nil || plan.NotReadyOf(do.Write.Node) != plan.ReasonBaseSilent {
		t.Errorf("its silence is not written: %+v", do.Write.Node)
	}
}

// A capacity beyond belief is told once.
func TestACapacityBeyondBeliefIsToldOnce(t *testing.T) {
	s := told(t, servedOverHTTP)
	n := 0
	for i := range 5 {
		s.mailbox.Report(tunnel.Report{Base: id, Tunnel: "http", Received: at(time.Duration(2+i) * time.Second), Health: &tunnel.Health{MaxMemory: 1 << 50, CPUs: 65535}})
		for _, e := range s.turnAt(time.Duration(2+i) * time.Second).Write.Events {
			if e.Warning && e.Reason == plan.ReasonCapacityClipped && strings.Contains(e.Message, "65535") {
				n++
			}
		}
	}
	if n != 1 {
		t.Errorf("it is told %d times", n)
	}
}
