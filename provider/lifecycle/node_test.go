package lifecycle

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

func nodeOf(version string, uid podID) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, ResourceVersion: version, UID: uid}}
}

// The cache may lag behind our own writes.
func TestTheNewerCopyOfANodeCounts(t *testing.T) {
	for _, c := range []struct {
		name            string
		written, cached *corev1.Node
		want            *corev1.Node
		kept            bool // it is compared again at the next Turn
	}{
		{"neither", nil, nil, nil, false},
		{"not written by us", nil, nodeOf("5", "u"), nodeOf("5", "u"), false},
		{"not in the cache yet", nodeOf("5", "u"), nil, nodeOf("5", "u"), true},
		{"the cache lags", nodeOf("10", "u"), nodeOf("9", "u"), nodeOf("10", "u"), true},
		{"the cache caught up", nodeOf("9", "u"), nodeOf("9", "u"), nodeOf("9", "u"), true},
		{"somebody else wrote", nodeOf("9", "u"), nodeOf("10", "u"), nodeOf("10", "u"), true},
		{"made anew by somebody", nodeOf("9", "u"), nodeOf("10", "v"), nodeOf("10", "v"), true},
		{"not comparable", nodeOf("x", "u"), nodeOf("4", "u"), nodeOf("4", "u"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := nodeCopy{written: c.written}
			if diff := cmp.Diff(c.want, n.catchUp(c.cached)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (n.written != nil) != c.kept {
				t.Errorf("kept %v", n.written)
			}
			if c.name == "the cache caught up" && n.written != c.cached {
				t.Error("two copies are kept where one is enough")
			}
		})
	}
}

// A deletion is believed of the very Node that was deleted.
func TestALostNodeIsForgotten(t *testing.T) {
	for uid, lost := range map[podID]bool{"u": true, "v": false, "": false} {
		n := nodeCopy{written: nodeOf("5", "u")}
		if n.lost(uid); (n.written == nil) != lost {
			t.Errorf("after %q was deleted there is %v", uid, n.written)
		}
	}
	var none nodeCopy
	if none.lost("u"); none.written != nil {
		t.Errorf("there is %v", none.written)
	}
}

// Only a base that answered gets a Node, and it waits a second for the base's health.
func TestWhenANodeIsTooEarly(t *testing.T) {
	second, fresh := at(time.Second), Age{}
	for _, c := range []struct {
		name     string
		now      time.Time
		lastSeen time.Time
		answered time.Time
		health   bool
		age      Age
		want     bool
	}{
		{"never heard", second, time.Time{}, noon, true, fresh, true},
		{"heard, never answered", at(time.Hour), noon, time.Time{}, false, fresh, true},
		{"answered, health known", noon, noon, noon, true, fresh, false},
		{"silent", second, noon, noon, true, Age{Stage: Stale, NotReady: plan.ReasonBaseSilent}, true},
		{"two of them", second, noon, noon, true, Age{NotReady: plan.ReasonIdentityConflict}, false},
		{"does not answer any more", second, noon, noon, true, Age{NotReady: plan.ReasonBaseNotAnswering}, false},
		{"does not answer any more, health not known", noon, noon, noon, false, Age{NotReady: plan.ReasonBaseNotAnswering}, true},
		{"answered, health not known", at(time.Second - 1), noon, noon, false, fresh, true},
		{"answered, health not known for a second", second, noon, noon, false, fresh, false},
		{"answered late, health not known", second, noon, at(1), false, fresh, true},
	} {
		b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
		b.about.lastSeen, b.seen.answered = c.lastSeen, c.answered
		if c.health {
			b.seen.health = &tunnel.Health{}
		}
		if got := b.tooEarly(c.now, c.age); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What does not differ is not written, but every hour for its heartbeat times.
func TestANodeIsWrittenWhereItDiffers(t *testing.T) {
	s := told(t, served)
	for _, c := range []struct {
		name   string
		after  time.Duration
		told   []string
		writes bool
	}{
		{"nothing differs", 2 * time.Second, nil, false},
		{"another version", 2 * time.Second, nil, true},
		{"not yet an hour", 3601*time.Second - 1, []string{"heartbeat shop"}, false},
		{"an hour", 3601100 * time.Millisecond, []string{"heartbeat shop"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s = told(t, served)
			if c.name == "another version" {
				h := beatOf(at(c.after))
				h.Version = "2"
				s.mailbox.Heartbeat(h)
			}
			w := s.turnAt(c.after, c.told...).Write
			if (w.Node != nil) != c.writes {
				t.Fatalf("written: %v", cmp.Diff(w.Was, w.Node))
			}
			if w.Was == nil || !w.Show {
				t.Errorf("the Node is %v, shown %v", w.Was, w.Show)
			}
			if c.name == "an hour" && w.Node.Status.Conditions[0].LastHeartbeatTime.Time != at(3601*time.Second) {
				t.Errorf("heartbeat times: %v", w.Node.Status.Conditions[0].LastHeartbeatTime)
			}
		})
	}
}

// A replica that takes over a Node as it should be leaves it so; an hour counts from
// then.
func TestAnAdoptedNodeIsLeftAsItIs(t *testing.T) {
	before := told(t, served)
	s := newStory(t)
	s.facts.Node, s.version = before.facts.Node, before.version
	for _, line := range []string{"59s link up", "60s heartbeat shop", "60s claim 2", "60s turn"} {
		s.do(line)
	}
	do := s.turnAt(60 * time.Second)
	if do.Write.Node != nil || do.Write.Was != s.facts.Node {
		t.Errorf("it is written: %s", cmp.Diff(do.Write.Was, do.Write.Node))
	}
	if do := s.turnAt(3660*time.Second-1, "heartbeat shop"); do.Write.Node != nil {
		t.Errorf("it is written after less than an hour: %s", cmp.Diff(do.Write.Was, do.Write.Node))
	}
	if do := s.turnAt(3660 * time.Second); do.Write.Node == nil {
		t.Error("it is not written after an hour")
	}
}

// A Node that was there when it was created is described anew; one that was gone when it
// was written is created anew.
func TestNodesThatWereNotAsTheyWereThought(t *testing.T) {
	s := told(t, served)
	others := nodeOf("999", "other")
	s.base.NodeFound(others)
	do := s.turnAt(2 * time.Second)
	if do.Write.Was != others || do.Write.Node == nil || do.Write.Node.Labels[plan.LabelComponent] != plan.ComponentVNode {
		t.Errorf("one that was there is %v, becomes %v", do.Write.Was, do.Write.Node)
	}
	described := do.Write.Node.DeepCopy()
	s.base.NodeFound(described)
	if do := s.turnAt(3 * time.Second); do.Write.Node == nil {
		t.Error("when its status was written is not known, and it is not written")
	}
	s.base.NodeWritten(described, false, at(3*time.Second))
	if do := s.turnAt(4 * time.Second); do.Write.Node == nil {
		t.Error("its description was written, not its status")
	}
	s.base.NodeWritten(described, true, at(4*time.Second))
	if do := s.turnAt(5 * time.Second); do.Write.Node != nil {
		t.Errorf("it was written: %s", cmp.Diff(do.Write.Was, do.Write.Node))
	}
	s.facts.Node = nil
	s.base.NodeMissing()
	if do := s.turnAt(6 * time.Second); do.Write.Was != nil || do.Write.Node == nil {
		t.Errorf("one that is gone is %v, becomes %v", do.Write.Was, do.Write.Node)
	}
}

func TestWhenTheNodeIsDue(t *testing.T) {
	s, every := time.Second, time.Hour
	for _, c := range []struct {
		name    string
		now     time.Duration
		touched time.Time
		writes  bool
		want    time.Duration
	}{
		{"none yet: its health is waited for", 0, time.Time{}, false, s},
		{"none yet, and it waits no longer", s, time.Time{}, false, s + every},
		{"created now", 0, time.Time{}, true, every},
		{"written a while ago", 2 * s, at(s), false, s + every},
		{"written now", 2 * s, at(s), true, 2*s + every},
		{"due, and there is nothing to write to", 10 * every, at(s), false, 11 * every},
	} {
		b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
		b.node.touched, b.seen.answered = c.touched, noon
		if got := b.nodeDue(at(c.now), c.writes); !got.Equal(at(c.want)) {
			t.Errorf("%s: due after %s, want %s", c.name, got.Sub(noon), c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, at(-time.Duration(r.IntN(600))*s))
		if r.IntN(2) > 0 {
			b.node.touched = at(-time.Duration(r.IntN(600)) * s)
		}
		if got := b.nodeDue(noon, r.IntN(2) > 0); !got.After(noon) || got.After(at(every)) {
			t.Fatalf("touched %s, served since %s: due after %s", b.node.touched, b.since, got.Sub(noon))
		}
	}
}

func TestEarliest(t *testing.T) {
	var none time.Time
	for _, c := range []struct {
		times []time.Time
		want  time.Time
	}{
		{nil, none}, {[]time.Time{none, none}, none}, {[]time.Time{none, at(2), at(1), none, at(3)}, at(1)}, {[]time.Time{at(1), at(2)}, at(1)},
	} {
		if got := earliest(c.times...); !got.Equal(c.want) {
			t.Errorf("of %v the first is %s", c.times, got)
		}
	}
}

// What the plan tells of a Node waits until there is one, and is told of one that this process
// only found.
func TestEventsWaitForTheNode(t *testing.T) {
	unmanaged := func(events []plan.Event) bool {
		return slices.ContainsFunc(events, func(e plan.Event) bool { return e.Reason == "UnmanagedModule" })
	}
	early := told(t, []string{"0s link up", "1s heartbeat shop", "1s claim 1", "1s turn", "1s turn", "1.1s list orders:1"})
	if do := early.turnAt(1200 * time.Millisecond); do.Write.Node != nil || unmanaged(do.Write.Events) {
		t.Fatalf("there is a Node %v, told %v", do.Write.Node, do.Write.Events)
	}
	if do := early.turnAt(1300*time.Millisecond, "health 1h"); do.Write.Node == nil || !unmanaged(do.Write.Events) {
		t.Errorf("the Node is %v, told %v", do.Write.Node, do.Write.Events)
	}
	before := told(t, served)
	found := newStory(t)
	found.facts.Node, found.version = before.facts.Node, before.version
	for _, line := range []string{"59s link up", "60s heartbeat shop", "60s claim 2", "60s turn", "60s turn", "61s list orders:1"} {
		found.do(line)
	}
	if do := found.turnAt(61 * time.Second); do.Write.Node != nil || !unmanaged(do.Write.Events) {
		t.Errorf("the Node is written: %v, told %v", do.Write.Node, do.Write.Events)
	}
}

// What waits is bounded, and what is told of pods does not.
func TestWhatWaitsForANodeIsBounded(t *testing.T) {
	var n nodeCopy
	events := append(slices.Repeat([]plan.Event{{Reason: "A"}}, 3*maxUntold), plan.Event{Pod: "u", Reason: "B"})
	if now := n.tell(false, []plan.Event{{Reason: "C"}}, events); len(now) != 1 || now[0].Reason != "B" {
		t.Errorf("without a Node %v is told", now)
	}
	if now := n.tell(true, nil, nil); len(now) != maxUntold || now[0].Reason != "A" {
		t.Errorf("then %v is told", now)
	}
	if now := n.tell(true, nil, nil); len(now) != 0 {
		t.Errorf("and again %v", now)
	}
}
