package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// walk is a story that nobody wrote: facts come in any order, and what must always hold
// is checked after each Turn.
type walk struct {
	*story
	rand *rand.Rand
	// epoch is that of the claim; it only grows. requests are all ids that were sent.
	epoch    int32
	requests map[string]bool
	// begun: the pods of the Node are taken under this epoch.
	begun int32
	pod   int
	done  []string // the last facts, to tell what went wrong
}

// What is to be done never goes beyond the right to do it, whatever comes in which order.
func TestNoTurnGoesBeyondItsRight(t *testing.T) {
	seeds, steps := uint64(300), 400
	for seed := range seeds {
		w := &walk{story: newStory(t), rand: rand.New(rand.NewPCG(seed, 1)), requests: map[string]bool{}}
		w.fact("0s heartbeat shop")
		for range steps {
			w.step()
			if t.Failed() {
				t.Fatalf("seed %d, after %q", seed, w.done)
			}
		}
	}
}

func (w *walk) step() {
	w.now = w.now.Add(time.Duration(w.rand.IntN(4000)) * time.Millisecond)
	at := w.now.Sub(noon)
	switch n := w.rand.IntN(24); n {
	case 0:
		if w.facts.Right > NotHeld { // what was lost comes back with another epoch
			w.fact("%s suspend", at)
		}
	case 1:
		w.fact("%s lost", at)
	case 2, 3, 4:
		if w.facts.Right == NotHeld {
			w.epoch++
		}
		w.fact("%s claim %d %s", at, max(w.epoch, 1), []string{"", "", "draining", "forced"}[w.rand.IntN(4)])
	case 5:
		w.fact("%s heartbeat %s ip=192.0.2.%d restarted=%s", at, []string{"shop", "shop", "bank"}[w.rand.IntN(3)], 1+w.rand.IntN(2), []string{"no", "no", "yes"}[w.rand.IntN(3)])
	case 6:
		w.fact("%s heartbeat shop tunnel=%s port=%d", at, w.tunnel(), []int{0, 1238, 9}[w.rand.IntN(3)])
	case 7:
		w.fact("%s list", at)
	case 8:
		w.fact("%s list orders:1 stock:2/resolved", at)
	case 9:
		w.fact("%s health %s", at, []string{"1h", "2h", "1s"}[w.rand.IntN(3)])
	case 10, 11:
		w.fact("%s link %s tunnel=%s", at, []string{"up", "up", "down"}[w.rand.IntN(3)], w.tunnel())
	case 12:
		w.pod++
		w.fact("%s pod u%d %s", at, w.pod, []string{"orders:1", "orders:2", "stock:2"}[w.rand.IntN(3)])
	case 13:
		for uid := range w.pods {
			w.fact("%s terminate %s", at, uid)
			break
		}
	case 14:
		w.fact("%s writes %s", at, []string{"slow", "done"}[w.rand.IntN(2)])
	case 15:
		w.fact("%s api %s", at, []string{"away", "back"}[w.rand.IntN(2)])
	case 16:
		w.fact("%s cache %s", at, []string{"behind", "current", "current"}[w.rand.IntN(3)])
	case 17:
		for name, a := range w.base.ledger.Attempts {
			w.fact("%s answer %s %s %s", at, a.Verb, a.Module, []string{"done", "failed", "busy"}[w.rand.IntN(3)])
			_ = name
			break
		}
	case 18:
		if w.facts.Node != nil {
			w.fact("%s nodelost", at)
		}
	default:
		w.turnAndCheck()
	}
}

func (w *walk) tunnel() string { return []string{"mqtt", "http"}[w.rand.IntN(2)] }

func (w *walk) fact(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.done = append(w.done, line)
	w.do(line)
}

func (w *walk) turnAndCheck() {
	was, in := w.base.Phase(), w.observe()
	if !was.served() && w.base.Vanished(in) {
		w.restart()
		return
	}
	beat := later(w.base.about.beat, in.Mail.Beat)
	do := w.base.Turn(in)
	if moves := do.Moved != nil || do.Retire != nil && do.Retire.Successor != nil; moves && in.Node != nil && w.now.Sub(beat) < w.base.cfg.StaleAfter {
		w.t.Errorf("a live base is moved on a word: %+v", do.News)
	}
	w.binds()
	w.done = append(w.done, fmt.Sprintf("%s turn: %s -> %s", w.now.Sub(noon), was, w.base.Phase()))
	w.check(was, in, do)
	w.perform(do)
	if w.base.Phase() == Gone {
		w.restart()
		return
	}
	w.rests(do)
}

// rests checks that a base which nothing happens to is not reconciled again and again: it may
// be due at once, but not once more after a Turn that did nothing.
func (w *walk) rests(do Actions) {
	w.t.Helper()
	if w.broken { // then the shell waits longer each time
		return
	}
	for hurried := false; !do.due().After(w.now.Add(minWait)); {
		quiet := idles(do)
		if hurried && quiet {
			w.t.Errorf("it is due at once, and once more, and nothing is done: %+v", do)
			return
		}
		hurried = quiet
		w.now = later(do.due(), w.now)
		do = w.base.Turn(w.observe())
		w.binds()
		if do.Begin {
			w.begun = w.facts.Claim.Epoch
		}
		for _, c := range do.Talk.Send {
			w.requests[c.RequestID] = true
		}
		w.perform(do)
		if w.base.Phase() == Gone {
			w.restart()
			return
		}
	}
}

// due is when a base is to be reconciled again if nothing is heard and nothing happens.
func (a Actions) due() time.Time { return earliest(a.Next, a.Silence.Due()) }

// idles says that Actions change nothing that the next Turn sees.
func idles(do Actions) bool {
	changes := []bool{do.LetGo, do.Begin, do.Drained, do.Retire != nil, do.Moved != nil, do.Changed != nil, do.Write.Node != nil}
	some := len(do.Talk.Send) + len(do.Talk.Ask) + len(do.Write.Pods) + len(do.Write.Finish)
	return !slices.Contains(changes, true) && some == 0
}

// restart makes the record anew, as the shell does when the base is heard again.
func (w *walk) restart() {
	w.base, w.mailbox, w.facts.Node, w.facts.Right = nil, Mailbox{}, nil, NotHeld
	w.fact("%s heartbeat shop", w.now.Sub(noon))
}

func (w *walk) check(was Phase, in Facts, do Actions) {
	w.t.Helper()
	now := w.base.Phase()
	writes := do.Write.Node != nil || len(do.Write.Pods)+len(do.Write.Finish) > 0
	must := func(holds bool, rule string) {
		if !holds {
			w.t.Errorf("%s -> %s: %s", was, now, rule)
		}
	}
	if len(do.Talk.Send) > 0 {
		must(in.Right == Valid && in.Claim.Phase == shard.Owned && in.Claim.Epoch == w.base.epoch, "a command without the right to send one")
		must(in.Current, "a command from an old view of pods")
		must(now == Serving, "a command of a base that is not served")
	}
	must(len(do.Talk.Send)+w.base.ledger.InFlight() <= w.base.cfg.CommandsPerBase, "too many commands in flight")
	for _, c := range do.Talk.Send {
		must(!w.requests[c.RequestID], "a request id is used twice: "+c.RequestID)
		w.requests[c.RequestID] = true
	}
	if do.Begin {
		w.begun = in.Claim.Epoch
	}
	if writes || len(do.Talk.Send)+len(do.Talk.Ask) > 0 || do.Retire != nil {
		must(in.Right == Valid, "something is done without a valid claim")
		must(w.begun == in.Claim.Epoch && !do.Begin, "something is done before the Node's pods are taken under this claim")
	}
	if now == Drained {
		must(do.Write.Node == nil && len(do.Write.Pods) == 0, "a base is written that may be another's")
		must(was != Drained || len(do.Write.Finish) == 0 && !do.Write.Show, "a base is served that may be another's")
		must(in.Right == Held || in.Claim.Phase > shard.Owned, "a base is drained that is to stay")
	}
	if do.Drained {
		must(now == Drained && in.Right == Valid && in.Claim.Phase > shard.Owned, "it may be another's, and nobody asked for that")
		must(was == Drained || !in.Writing, "it may be another's while a status is being written")
		must(in.Claim.Phase == shard.Forced || was == Drained || !w.base.ledger.Pending(), "it may be another's while a command is in flight")
	}
	must(do.Begin || do.Retire != nil || !do.Next.Before(in.Now.Add(minWait)), "it is reconciled again too soon")
	must(do.LetGo == (was.served() && (now == Foreign || do.Begin)), "pods are let go when, and only when, the claim is lost")
	if node := do.Write.Node; node != nil && do.Write.Was == nil {
		must(plan.NotReadyOf(node) != plan.ReasonBaseSilent, "a Node is created for a base that is not heard")
	}
}

func newStory(t *testing.T) *story {
	t.Helper()
	return &story{
		t: t, now: noon, pods: map[podID]*plan.Pod{}, version: 100,
		facts: Facts{Links: map[string]tunnel.Link{}, Current: true},
	}
}
