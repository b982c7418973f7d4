package lifecycle

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// served tells of a base that is served from 1 s on, and has its Node and an empty list
// from 1.1 s on.
var served = []string{
	"0s link up", "1s heartbeat shop", "1s claim 1", "1s turn", "1s turn",
	"1.1s health 1h", "1.1s list", "1.1s turn",
}

// told is a base after what is told of it in the words of transcripts.
func told(t *testing.T, parts ...[]string) *story {
	t.Helper()
	s := newStory(t)
	for _, lines := range parts {
		for _, line := range lines {
			s.do(line)
		}
	}
	return s
}

// turnAt tells more, and gives what is to be done then. It is not done.
func (s *story) turnAt(after time.Duration, lines ...string) Actions {
	s.t.Helper()
	for _, line := range lines {
		s.do(fmt.Sprint(after, " ", line))
	}
	s.now = at(after)
	do := s.base.Turn(s.observe())
	s.binds()
	return do
}

// modules gives what commands are about.
func modules(commands []plan.Planned) []string {
	var keys []string
	for _, c := range commands {
		keys = append(keys, string(c.Verb)+" "+c.Module.String())
	}
	return keys
}

// No more commands are in flight on a base than it may have, those counted that whoever
// served it before may have sent.
func TestCommandsOfABaseAreBounded(t *testing.T) {
	four := []string{"2s pod u1 a:1", "2s pod u2 b:1", "2s pod u3 c:1", "2s pod u4 d:1"}
	for _, c := range []struct {
		name string
		told []string
		want []string
	}{
		{"three at once", nil, []string{"install a:1", "install b:1", "install c:1"}},
		{"one starts that somebody else sent for", []string{"2s list x:1/resolved"}, []string{"install a:1", "install b:1"}},
		{"four start", []string{"2s list w:1/resolved x:1/resolved y:1/resolved z:1/resolved"}, nil},
		{"two are in flight", []string{"1.5s pod u5 y:1", "1.5s pod u6 z:1", "1.5s turn"}, []string{"install a:1"}},
		{"one of two in flight is answered", []string{
			"1.5s pod u5 y:1", "1.5s pod u6 z:1", "1.5s turn", "1.6s answer install y:1 done",
		}, []string{"install a:1", "install b:1"}},
		{"what was in flight went with a restart", []string{
			"1.5s pod u5 y:1", "1.5s pod u6 z:1", "1.5s turn", "1.6s heartbeat shop restarted=yes", "1.6s turn", "1.7s list",
		}, []string{"install y:1", "install z:1", "install a:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := told(t, served, c.told, four)
			if diff := cmp.Diff(c.want, modules(s.turnAt(2*time.Second).Talk.Send)); diff != "" {
				t.Errorf("to send (-want +got):\n%s", diff)
			}
		})
	}
}

// What is to be installed with an environment of another time has that resolved anew first.
func TestStaleEnvironmentsAreResolvedAnew(t *testing.T) {
	s := told(t, served, []string{"2s pod u1 orders:1"})
	s.pods["u1"].Resolved = at(-time.Hour)
	do := s.turnAt(2 * time.Second)
	if !cmp.Equal([]types.UID{"u1"}, do.Renew) || len(do.Talk.Send) > 0 {
		t.Errorf("to be resolved anew %v, to send %v", do.Renew, modules(do.Talk.Send))
	}
	s.pods["u1"].Resolved = at(3 * time.Second)
	do = s.turnAt(3 * time.Second)
	if want := []string{"install orders:1"}; len(do.Renew) > 0 || !cmp.Equal(want, modules(do.Talk.Send)) {
		t.Errorf("then resolved anew %v, to send %v", do.Renew, modules(do.Talk.Send))
	}
}

// While the cache of pods may be older than the claim nothing is done from it, and what is
// remembered stays.
func TestAnOldViewOfPodsIsNotActedOn(t *testing.T) {
	s := told(t, served, []string{"1.5s pod u1 orders:1", "1.5s turn"})
	remembered := s.base.ledger.Memory
	do := s.turnAt(2*time.Second, "cache behind", "pod u2 stock:1", "terminate u1")
	if len(do.Talk.Send)+len(do.Write.Pods)+len(do.Write.Finish)+len(do.Write.Events) > 0 {
		t.Errorf("from an old view %+v is sent, %+v written", do.Talk.Send, do.Write)
	}
	if !do.NeedCurrent || !do.Next.Equal(at(2*time.Second+podsPause)) {
		t.Errorf("the view is needed: %v, looked at again at %s", do.NeedCurrent, do.Next)
	}
	if diff := cmp.Diff(remembered, s.base.ledger.Memory); diff != "" {
		t.Errorf("memory (-want +got):\n%s", diff)
	}
	if do := s.turnAt(3*time.Second, "cache current"); do.NeedCurrent || len(do.Talk.Send) == 0 {
		t.Errorf("the view is current: needed %v, to send %v", do.NeedCurrent, do.Talk.Send)
	}
	idle := told(t, served, []string{"2s cache behind"})
	if do := idle.turnAt(2 * time.Second); do.NeedCurrent {
		t.Error("nothing is to be done, and the view is needed")
	}
}

// A base that is silent takes what is installed on it along, in case it comes back. What
// another application's address had stays behind.
func TestWhatARetirementNames(t *testing.T) {
	installed := []string{"1.5s pod u1 orders:1", "1.5s turn", "1.6s answer install orders:1 done", "1.7s list orders:1", "1.7s turn"}
	s := told(t, served, installed)
	node := s.facts.Node
	silent := s.turnAt(601600 * time.Millisecond).Retire
	if silent != nil {
		t.Fatalf("it is retired before its time: %+v", silent)
	}
	silent = s.turnAt(601700 * time.Millisecond).Retire
	want := &Retirement{Why: "no message received for too long", Node: node, Installed: map[tunnel.ModuleKey]bool{keyOf("orders:1"): true}}
	if diff := cmp.Diff(want, silent); diff != "" {
		t.Errorf("a silent base (-want +got):\n%s", diff)
	}

	s = told(t, served, installed, []string{"2s heartbeat bank ip=192.0.2.3", "40.9s heartbeat bank ip=192.0.2.3"})
	if do := s.turnAt(42*time.Second - 1); do.Retire != nil {
		t.Fatalf("it is retired while it may live: %+v", do.Retire)
	}
	reused := s.turnAt(42 * time.Second).Retire
	want = &Retirement{Why: "it is gone, and another application has its identity", Evict: true, Node: s.facts.Node, Successor: &tunnel.Heartbeat{
		Base: id, Tunnel: "mqtt", Name: "bank", Version: "1", Cluster: "c", IP: "192.0.2.3", Received: at(40900 * time.Millisecond),
	}}
	if diff := cmp.Diff(want, reused); diff != "" {
		t.Errorf("a reused address (-want +got):\n%s", diff)
	}
	if s.base.Phase() != Serving {
		t.Errorf("it is %s before its Node is deleted", s.base.Phase())
	}
}

// Two live bases with one address are one fault, not a reuse of it, until that is over.
func TestAConflictIsNoReuse(t *testing.T) {
	s := told(t, served, []string{
		"2s heartbeat bank ip=192.0.2.2", "3s heartbeat shop", "4s heartbeat bank ip=192.0.2.2", "5s heartbeat shop", "6s heartbeat bank ip=192.0.2.2", "7s heartbeat shop",
	})
	do := s.turnAt(7 * time.Second)
	if do.Retire != nil || do.Changed == nil || do.Changed.Is != plan.ReasonIdentityConflict {
		t.Errorf("retired %+v, changed %+v", do.Retire, do.Changed)
	}
	s.turnAt(30*time.Second, "heartbeat bank ip=192.0.2.2")
	if do := s.turnAt(47*time.Second - 1); do.Retire != nil {
		t.Error("it is retired before the conflict is over")
	}
	if do := s.turnAt(47 * time.Second); do.Retire == nil {
		t.Error("it is not retired once the conflict is over")
	}
}

// Events on a Node are for a Node that is there.
func TestEventsOnTheNodeNeedOne(t *testing.T) {
	unmanaged := func(do Actions) (reasons []string) {
		for _, e := range do.Write.Events {
			if e.Pod == "" {
				reasons = append(reasons, e.Reason)
			}
		}
		return reasons
	}
	early := told(t, served[:5])
	if got := unmanaged(early.turnAt(1100*time.Millisecond, "list orders:1")); len(got) > 0 {
		t.Errorf("there is no Node, and %v", got)
	}
	created := told(t, served[:5])
	if diff := cmp.Diff([]string{"UnmanagedModule"}, unmanaged(created.turnAt(1100*time.Millisecond, "health 1h", "list orders:1"))); diff != "" {
		t.Errorf("the Node is created now (-want +got):\n%s", diff)
	}
	there := told(t, served)
	if diff := cmp.Diff([]string{"UnmanagedModule"}, unmanaged(there.turnAt(2*time.Second, "list orders:1"))); diff != "" {
		t.Errorf("the Node is there (-want +got):\n%s", diff)
	}
}

// The claim is asked for again before commands are sent.
func TestWhatMayBeSentUnderAClaim(t *testing.T) {
	b := inPhase(t, Serving)
	for _, c := range []struct {
		name  string
		right Right
		claim shard.Claim
		want  bool
	}{
		{"as before", Valid, shard.Claim{Epoch: 1, Phase: shard.Owned}, true},
		{"draining", Valid, shard.Claim{Epoch: 1, Phase: shard.Draining}, false},
		{"forced", Valid, shard.Claim{Epoch: 1, Phase: shard.Forced}, false},
		{"not owned", Valid, shard.Claim{Epoch: 1}, false},
		{"won again", Valid, shard.Claim{Epoch: 2, Phase: shard.Owned}, false},
		{"an old one", Valid, shard.Claim{Phase: shard.Owned}, false},
		{"suspended", Held, shard.Claim{Epoch: 1, Phase: shard.Owned}, false},
		{"lost", NotHeld, shard.Claim{Epoch: 1, Phase: shard.Owned}, false},
	} {
		if got := b.MaySend(c.right, c.claim); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhichBasesVanish(t *testing.T) {
	node := told(t, served).facts.Node
	heard := Mail{LastSeen: at(30 * time.Second), Beat: at(30 * time.Second)}
	for _, c := range []struct {
		name string
		base *Base
		in   Facts
		want bool
	}{
		{"known for 40 s, never heard", inPhase(t, Unknown), Facts{Now: at(40 * time.Second)}, true},
		{"known for less", inPhase(t, Unknown), Facts{Now: at(40*time.Second - 1)}, false},
		{"foreign", inPhase(t, Foreign), Facts{Now: at(40 * time.Second)}, true},
		{"heard just now", inPhase(t, Foreign), Facts{Now: at(70*time.Second - 1), Mail: heard}, false},
		{"heard before", inPhase(t, Foreign), Facts{Now: at(70 * time.Second), Mail: heard}, true},
		{"it has a Node", inPhase(t, Foreign), Facts{Now: at(time.Hour), Node: node}, false},
		{"suspended", inPhase(t, Suspended), Facts{Now: at(time.Hour)}, false},
		{"served", inPhase(t, Serving), Facts{Now: at(time.Hour)}, false},
		{"drained", inPhase(t, Drained), Facts{Now: at(time.Hour)}, false},
	} {
		if got := c.base.Vanished(c.in); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	b := inPhase(t, Foreign)
	b.Turn(Facts{Now: at(30 * time.Second), Mail: heard})
	if b.Vanished(Facts{Now: at(70*time.Second - 1)}) || !b.Vanished(Facts{Now: at(70 * time.Second)}) {
		t.Error("it is not known from when it was heard last")
	}
}

// A base is settled when nothing is in flight, due, or asked for.
func TestWhenABaseIsSettled(t *testing.T) {
	for _, c := range []struct {
		name string
		told []string
		want bool
	}{
		{"nothing to do", nil, true},
		{"a command to send", []string{"2s pod u1 orders:1"}, false},
		{"a command in flight", []string{"1.5s pod u1 orders:1", "1.5s turn"}, false},
		{"a command answered, not listed", []string{"1.5s pod u1 orders:1", "1.5s turn", "1.6s answer install orders:1 done"}, false},
		{"it serves", []string{"1.5s pod u1 orders:1", "1.5s turn", "1.6s answer install orders:1 done", "1.6s turn", "1.7s list orders:1"}, true},
		{"it is starting", []string{"1.5s list orders:1/resolved", "1.5s pod u1 orders:1"}, false},
		{"its list is not known", []string{"1.5s heartbeat shop restarted=yes"}, false},
		{"its link is down", []string{"1.5s link down", "1.5s pod u1 orders:1"}, true},
		{"draining", []string{"1.5s pod u1 orders:1", "1.5s turn", "1.6s claim 1 draining"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if do := told(t, served, c.told).turnAt(2 * time.Second); do.Settled != c.want {
				t.Errorf("settled %v, want %v", do.Settled, c.want)
			}
		})
	}
}

// Gauges are told what was found of a base that is served, and that one is served no more;
// in between the last word stands.
func TestWhatTheSummaryCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		told []string
		want *Summary
	}{
		{"empty", nil, &Summary{Served: true, Ready: true}},
		{"of what is listed, what serves", []string{"2s list a:1 b:1/resolved c:1/broken"}, &Summary{Served: true, Ready: true, Modules: 1, Unmanaged: 3}},
		{"a pod has one", []string{"2s list a:1 b:1", "2s pod u1 a:1"}, &Summary{Served: true, Ready: true, Modules: 2, Unmanaged: 1}},
		{"silent", []string{"41.1s list", "41.1s heartbeat shop", "82s turn"}, &Summary{Served: true}},
		{"suspended", []string{"2s suspend"}, nil},
		{"draining", []string{"2s claim 1 draining"}, nil},
		{"lost", []string{"2s lost"}, &Summary{}},
		{"lost and won again", []string{"2s claim 2"}, &Summary{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := told(t, served, c.told)
			if diff := cmp.Diff(c.want, s.turnAt(max(s.now.Sub(noon), 2*time.Second)).Summary); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

// Time in which we could not act proves nothing against a base: neither that it was
// silent, nor that it did not answer.
func TestASuspensionBeginsTheWaitAnew(t *testing.T) {
	s := told(t, served, []string{"10s turn"})
	if s.base.talk.unanswered.IsZero() {
		t.Fatal("it owes no answer")
	}
	s.turnAt(11*time.Second, "suspend")
	do := s.turnAt(130*time.Second, "claim 1")
	if do.Changed != nil || !s.base.since.Equal(at(130*time.Second)) || !s.base.talk.unanswered.IsZero() {
		t.Errorf("after the suspension it changes to %+v; waited for since %s, an answer since %s", do.Changed, s.base.since, s.base.talk.unanswered)
	}
	if do = s.turnAt(170*time.Second - 1); do.Changed != nil {
		t.Errorf("it changes to %+v too soon", do.Changed)
	}
	if do = s.turnAt(170 * time.Second); do.Changed == nil || do.Changed.Is != plan.ReasonBaseSilent {
		t.Errorf("40 s after the suspension it changes to %+v", do.Changed)
	}
}
