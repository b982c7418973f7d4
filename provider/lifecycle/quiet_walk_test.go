package lifecycle

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// course is a story of a base that answers and installs, and of a budget that has room or not.
type course struct {
	*story
	rand *rand.Rand
	// present are the modules that serve.
	present map[string]bool
	// mute: nothing that it is asked is answered. dumb: it sends no heartbeats.
	mute, dumb bool
	due, beats time.Time
	coming     []coming
	lists      int // that were asked for
	asked      int // questions of any kind
	turned     int
}

// coming is what happens later; it says whether the base is to be reconciled.
type coming struct {
	at     time.Time
	happen func() bool
}

const answersAfter = 50 * time.Millisecond

// Whatever came before: what a module does by itself shows once a minute at the latest, what
// follows from a command or a restart within 10 s, and no base is NotReady whose heartbeats
// have ended. It is asked once a minute where nothing happens.
func TestWhatIsNoticedWhen(t *testing.T) {
	slow := time.Duration(0)
	for seed := range uint64(150) {
		c := newCourse(t, seed)
		for range 8 {
			c.run(time.Duration(c.rand.IntN(200_000)) * time.Millisecond)
			switch c.rand.IntN(6) {
			case 0:
				slow = max(slow, c.endsByItself())
			case 1:
				c.restarts()
			case 2:
				c.loses("answers", &c.mute)
			case 3:
				c.loses("heartbeats", &c.dumb)
			case 4:
				c.takesTurns()
			case 5:
				c.facts.Room = []time.Time{{}, noon.Add(1000 * time.Hour)}[c.rand.IntN(2)]
			}
			if t.Failed() {
				t.Fatalf("seed %d, after %s", seed, c.now.Sub(noon))
			}
		}
		c.isQuiet()
	}
	if slow < 30*time.Second {
		t.Errorf("what a module did by itself was noticed within %s each time: nothing is quiet", slow)
	}
}

func newCourse(t *testing.T, seed uint64) *course {
	t.Helper()
	c := &course{story: newStory(t), rand: rand.New(rand.NewPCG(seed, 2)), present: map[string]bool{}}
	for _, line := range []string{"0s link up", "1s heartbeat shop", "1s claim 1", "1s pod u1 orders:1"} {
		c.do(line)
	}
	c.due, c.beats = c.now, c.now.Add(10*time.Second)
	c.within(10*time.Second, "the first pod runs", c.serves)
	return c
}

// run lets time pass.
func (c *course) run(d time.Duration) { c.until(d, func() bool { return false }) }

// within has something come true in time.
func (c *course) within(d time.Duration, what string, is func() bool) time.Duration {
	c.t.Helper()
	began := c.now
	if !c.until(d, is) {
		c.t.Errorf("not within %s: %s", d, what)
	}
	return c.now.Sub(began)
}

// until lets time pass until something is true, and says whether it is.
func (c *course) until(d time.Duration, is func() bool) bool {
	for end := c.now.Add(d); !is(); {
		at := earliest(c.due, c.beats, c.mailbox.silence.Due())
		next := slices.IndexFunc(c.coming, func(e coming) bool { return !e.at.After(at) })
		if next >= 0 {
			at = c.coming[next].at
		}
		if at.After(end) {
			c.now = end
			return false
		}
		c.now = later(c.now, at)
		c.happens(next)
	}
	return true
}

// happens plays what is next.
func (c *course) happens(next int) {
	wake := false
	switch {
	case next >= 0:
		event := c.coming[next]
		c.coming = slices.Delete(c.coming, next, next+1)
		wake = event.happen()
	case !c.beats.After(c.now):
		c.beats = c.now.Add(10 * time.Second)
		wake = !c.dumb && c.mailbox.Heartbeat(c.beat("mqtt", "shop", nil))
	default:
		wake = true
	}
	if wake {
		c.turns()
	}
}

func (c *course) turns() {
	do := c.base.Turn(c.observe())
	c.turned++
	c.asked += len(do.Talk.Ask)
	c.binds()
	c.perform(do)
	c.mailbox.Listen(do.Silence)
	c.due = do.Next
	if do.Next.IsZero() {
		c.due = c.now
	}
	for _, v := range do.Talk.Ask {
		c.answers(v)
	}
	for _, command := range do.Talk.Send {
		c.obeys(command)
	}
}

func (c *course) later(d time.Duration, happen func() bool) {
	c.coming = append(c.coming, coming{c.now.Add(d), happen})
	slices.SortStableFunc(c.coming, func(a, b coming) int { return a.at.Compare(b.at) })
}

func (c *course) says(r tunnel.Report) bool {
	r.Base, r.Tunnel, r.Received = id, "mqtt", c.now
	return !c.mute && c.mailbox.Report(r)
}

func (c *course) answers(v tunnel.Verb) {
	if v == tunnel.ListModules {
		c.lists++
	}
	c.later(answersAfter, func() bool {
		if v == tunnel.ReadHealth {
			return c.says(tunnel.Report{Health: &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 56 << 20}})
		}
		r := tunnel.Report{Listed: true}
		for name := range c.present {
			r.Modules = append(r.Modules, tunnel.Module{ModuleKey: keyOf(name), State: tunnel.Activated})
		}
		return c.says(r)
	})
}

func (c *course) obeys(command plan.Planned) {
	c.later(4*answersAfter, func() bool {
		c.present[command.Module.String()] = command.Verb == tunnel.InstallModule
		if command.Verb == tunnel.UninstallModule {
			delete(c.present, command.Module.String())
		}
		return c.says(tunnel.Report{Answer: &tunnel.Answer{Verb: command.Verb, Module: command.Module, Outcome: tunnel.Done}})
	})
}

// serves says that the pod is ready and its module there.
func (c *course) serves() bool { return c.shows() && c.present["orders:1"] }

// shows says that the pod shows that it is ready.
func (c *course) shows() bool {
	for _, p := range c.pods {
		if p.DeletionTimestamp == nil && stateOf(p.Status) == "Running ready" {
			return true
		}
	}
	return false
}

func (c *course) endsByItself() time.Duration {
	c.t.Helper()
	delete(c.present, "orders:1")
	took := c.within(c.base.cfg.QuietEvery+2*answersAfter, "what a module did by itself shows", func() bool { return !c.shows() })
	c.within(10*time.Second, "it is installed anew", c.serves)
	return took
}

func (c *course) restarts() {
	c.t.Helper()
	clear(c.present)
	c.mailbox.Heartbeat(c.beat("mqtt", "shop", map[string]string{"restarted": "yes"}))
	c.turns()
	c.within(10*time.Second, "the new process has its module", c.serves)
}

// loses has something not come for 20 s to 80 s. In that time the base stays Ready.
func (c *course) loses(what string, lost *bool) {
	c.t.Helper()
	*lost = true
	c.until(time.Duration(20+c.rand.IntN(60))*time.Second, func() bool { return c.base.node.notReady != "" })
	if c.base.node.notReady != "" {
		c.t.Errorf("without %s it is NotReady: %s", what, c.base.node.notReady)
	}
	*lost = false
	delete(c.present, "orders:1") // it ends now: no list before tells of it
	if what == "answers" && !c.base.heard() {
		c.within(10*time.Second, "what happened while it did not answer shows", func() bool { return !c.shows() })
	}
	c.within(c.base.cfg.QuietEvery+10*time.Second, "it serves again", c.serves)
	c.run(requestLost + time.Second) // until then a list may be taken for the answer to a lost request
}

// takesTurns deletes the pod and makes it anew.
func (c *course) takesTurns() {
	c.t.Helper()
	c.do(c.now.Sub(noon).String() + " terminate u1")
	c.mailbox.Unsettle()
	c.turns()
	c.within(10*time.Second, "the pod goes", func() bool { return len(c.pods) == 0 })
	c.do(c.now.Sub(noon).String() + " pod u1 orders:1")
	c.mailbox.Unsettle()
	c.turns()
	c.within(10*time.Second, "the next pod runs", c.serves)
}

// isQuiet sees how often it is asked where nothing happens, and that it is reconciled for no
// more than that, and half as often for answers: heartbeats move no timer.
func (c *course) isQuiet() {
	c.t.Helper()
	c.run(5 * time.Minute)
	c.lists, c.asked, c.turned = 0, 0, 0
	c.run(10 * time.Minute)
	if c.lists < 9 || c.lists > 11 {
		c.t.Errorf("it is asked %d times in ten quiet minutes", c.lists)
	}
	if 2*c.turned > 3*c.asked+2 {
		c.t.Errorf("it is reconciled %d times in ten quiet minutes for %d questions", c.turned, c.asked)
	}
}
