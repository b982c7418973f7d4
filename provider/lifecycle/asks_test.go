package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

func TestWhenTheListIsDue(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name   string
		talk   talk
		needed bool
		want   time.Duration
	}{
		{"never asked: since it is served", talk{}, false, 0},
		{"never asked, needed", talk{}, true, 0},
		{"its tunnel does not hear it yet", talk{askAgain: at(40 * ms), owed: 3}, true, 40 * ms},
		{"asked: every 8 s", talk{listAsked: at(1000 * ms)}, false, 9000 * ms},
		{"asked, and owed", talk{listAsked: at(1000 * ms), owed: 3}, false, 9000 * ms},
		{"needed, none owed", talk{listAsked: at(1000 * ms)}, true, 1300 * ms},
		{"needed, one owed", talk{listAsked: at(1000 * ms), owed: 1}, true, 1600 * ms},
		{"needed, two owed", talk{listAsked: at(1000 * ms), owed: 2}, true, 2200 * ms},
		{"needed, four owed", talk{listAsked: at(1000 * ms), owed: 4}, true, 5800 * ms},
		{"needed, five owed: no less than otherwise", talk{listAsked: at(1000 * ms), owed: 5}, true, 9000 * ms},
		{"needed, very many owed", talk{listAsked: at(1000 * ms), owed: 1 << 20}, true, 9000 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
			b.talk = c.talk
			if got := b.listDue(c.needed).Sub(noon); got != c.want {
				t.Errorf("due after %s, want %s", got, c.want)
			}
		})
	}
}

func TestWhenTheHealthIsDue(t *testing.T) {
	s, known := time.Second, &tunnel.Health{}
	for _, c := range []struct {
		name   string
		talk   talk
		health *tunnel.Health
		config Config
		want   time.Duration
	}{
		{"never asked: since it is served", talk{}, nil, Config{}, 0},
		{"its tunnel does not hear it yet", talk{askAgain: at(s)}, known, Config{}, s},
		{"not known: as often as the list", talk{healthAsked: at(s)}, nil, Config{}, 9 * s},
		{"known: every minute", talk{healthAsked: at(s)}, known, Config{}, 61 * s},
		{"not known, and wanted more often than the list", talk{healthAsked: at(s)}, nil, Config{HealthEvery: 2 * s}, 3 * s},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(c.config.Complete(), id, nodeName, beatOf(noon), nil, noon)
			b.talk, b.seen.health = c.talk, c.health
			if got := b.healthDue().Sub(noon); got != c.want {
				t.Errorf("due after %s, want %s", got, c.want)
			}
		})
	}
}

// A base that its tunnel does not hear yet is asked again ever less often, once a second
// at least, and soon again after it was heard.
func TestPausesOfABaseThatIsNotFollowed(t *testing.T) {
	b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
	deaf := fmt.Errorf("do: %w", tunnel.ErrNotFollowed)
	pauses := func(n int) (got []time.Duration) {
		for range n {
			b.talk.listAsked, b.talk.healthAsked, b.talk.owed = noon, noon, 1
			again := b.Asked(noon, deaf)
			got = append(got, again.Sub(noon)/time.Millisecond)
			if !b.listDue(true).Equal(again) || !b.healthDue().Equal(again) || b.talk.owed != 0 {
				t.Errorf("it is asked again at %s, for its list at %s, its health at %s", again, b.listDue(true), b.healthDue())
			}
		}
		return got
	}
	if diff := cmp.Diff([]time.Duration{20, 40, 80, 160, 320, 640, 1000, 1000}, pauses(8)); diff != "" {
		t.Errorf("pauses in ms (-want +got):\n%s", diff)
	}
	if got := pauses(100); slices.Max(got) != 1000 || slices.Min(got) != 1000 {
		t.Errorf("pauses in ms: %v", got)
	}
	if again := b.Asked(noon, nil); !again.IsZero() {
		t.Errorf("it was asked, and is to be reconciled again at %s", again)
	}
	if diff := cmp.Diff([]time.Duration{20, 40}, pauses(2)); diff != "" {
		t.Errorf("pauses in ms after it was heard (-want +got):\n%s", diff)
	}
}

// Only a request that the base should have received proves by silence that it does not
// answer, and the first such.
func TestWhenAnAnswerIsOwed(t *testing.T) {
	earlier := at(-time.Minute)
	command := plan.Planned{Command: tunnel.Command{Verb: tunnel.InstallModule, Module: keyOf("orders:1")}, Pod: "u1"}
	for _, c := range []struct {
		name      string
		reachable bool
		owed      time.Time
		say       func(*Base)
		want      time.Time
	}{
		{"asked", true, time.Time{}, func(b *Base) { b.Asked(noon, nil) }, noon},
		{"asked again", true, earlier, func(b *Base) { b.Asked(noon, nil) }, earlier},
		{"sent", true, time.Time{}, func(b *Base) { b.Sent(command, noon) }, noon},
		{"asked for ever without its tunnel hearing it", true, time.Time{}, func(b *Base) { b.Asked(noon, tunnel.ErrNotFollowed) }, noon},
		{"not asked: too much is in flight", true, time.Time{}, func(b *Base) { b.Asked(noon, tunnel.ErrBusy) }, time.Time{}},
		{"not asked: the link is down", true, time.Time{}, func(b *Base) { b.Asked(noon, tunnel.ErrNotLinked) }, time.Time{}},
		{"not asked: another error", true, time.Time{}, func(b *Base) { b.Asked(noon, errors.New("other")) }, time.Time{}},
		{"asked before it is back", false, time.Time{}, func(b *Base) { b.Asked(noon, nil) }, time.Time{}},
		{"sent before it is back", false, time.Time{}, func(b *Base) { b.Sent(command, noon) }, time.Time{}},
		{"not heard by its tunnel before it is back", false, time.Time{}, func(b *Base) { b.Asked(noon, tunnel.ErrNotFollowed) }, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
			b.talk.reachable, b.talk.unanswered = c.reachable, c.owed
			c.say(b)
			if got := b.talk.unanswered; !got.Equal(c.want) {
				t.Errorf("an answer is owed since %s, want %s", got, c.want)
			}
		})
	}
}

// What is sent is an attempt from then on, with what was listed before it.
func TestWhatIsSentIsAnAttempt(t *testing.T) {
	b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
	b.seen.Modules = modulesOf("stock:1", "orders:1")
	c := plan.Planned{Command: tunnel.Command{Verb: tunnel.InstallModule, Module: keyOf("orders:2"), RequestID: "1-u1-1"}, Pod: "u1"}
	b.Sent(c, at(time.Second))
	want := map[string]plan.Attempt{"orders": {
		Command: c.Command, Pod: "u1", Sent: at(time.Second), Before: []tunnel.ModuleKey{keyOf("stock:1"), keyOf("orders:1")},
	}}
	if diff := cmp.Diff(want, b.ledger.Attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// The tunnel is told where the base is when that changed, and only then.
func TestWhenTheTunnelIsTold(t *testing.T) {
	beat := func(change func(*tunnel.Heartbeat)) *tunnel.Heartbeat {
		h := beatOf(at(2 * time.Second))
		change(&h)
		return &h
	}
	for _, c := range []struct {
		name  string
		heard *tunnel.Heartbeat
		tell  bool
	}{
		{"nothing is heard", nil, false},
		{"the same", beat(func(*tunnel.Heartbeat) {}), false},
		{"another version", beat(func(h *tunnel.Heartbeat) { h.Version = "2" }), false},
		{"another address", beat(func(h *tunnel.Heartbeat) { h.IP = "192.0.2.2" }), false},
		{"another port", beat(func(h *tunnel.Heartbeat) { h.Port = 1238 }), false},
		{"restarted", beat(func(h *tunnel.Heartbeat) { h.Restarted = true }), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := told(t, served)
			if c.heard != nil {
				s.mailbox.Heartbeat(*c.heard)
			}
			got := s.turnAt(2 * time.Second).Talk
			if !c.tell {
				c.heard = nil
			}
			if diff := cmp.Diff(c.heard, got.Follow); diff != "" || got.Unfollow != "" {
				t.Errorf("unfollowed over %q, followed (-want +got):\n%s", got.Unfollow, diff)
			}
			if again := s.turnAt(3 * time.Second).Talk; again.Follow != nil {
				t.Errorf("it is told again: %+v", again.Follow)
			}
		})
	}
}

// A base stays with its tunnel while that hears it, and while that is down: our silence is
// not its own. Nothing of what is said through another is believed until then.
func TestWhichTunnelABaseIsFollowedThrough(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		told  []string
		moves bool
	}{
		{"its own heard it", 41200*time.Millisecond - 1, nil, false},
		{"its own has not heard it for long", 41200 * time.Millisecond, nil, true},
		{"its own is down", time.Hour, []string{"5s link down"}, false},
		{"its own was down, and is back", 194 * time.Second, []string{"4s link down", "5s link up"}, false},
		{"its own is back for long, and has not heard it", 195 * time.Second, []string{"4s link down", "5s link up"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := told(t, []string{"0s link up tunnel=http"}, served, []string{"1.2s features switch", "1.2s turn"}, c.told)
			before := s.base.about.heartbeat
			h := beatOf(at(c.after))
			h.Tunnel, h.Port, h.Version, h.IP = "http", 1238, "2", "192.0.2.2"
			s.mailbox.Heartbeat(h)
			talk := s.turnAt(c.after).Talk
			want, is := Talk{}, before
			if c.moves {
				want, is = Talk{Unfollow: "mqtt", Follow: &h}, h
			}
			if diff := cmp.Diff(want, Talk{Unfollow: talk.Unfollow, Follow: talk.Follow}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(is, s.base.about.heartbeat); diff != "" || s.base.Tunnel() != is.Tunnel {
				t.Errorf("over %s it is (-want +got):\n%s", s.base.Tunnel(), diff)
			}
			if forgotten := !s.base.seen.Features.Switch; forgotten != c.moves {
				t.Errorf("what it understands over %s is forgotten: %v", s.base.Tunnel(), forgotten)
			}
			anew := []tunnel.Verb{tunnel.ListModules, tunnel.ReadHealth}
			if c.moves && !slices.Equal(talk.Ask, anew) {
				t.Errorf("over the new tunnel it is asked %v", talk.Ask)
			}
		})
	}
}

// Over a link that is down nothing is asked, and nobody looks for that again.
func TestNothingIsAskedOverALinkThatIsDown(t *testing.T) {
	s := told(t, served)
	do := s.turnAt(20*time.Second, "link down")
	if len(do.Talk.Ask) > 0 || do.Next.Before(at(time.Minute)) {
		t.Errorf("asked %v, looked at again after %s", do.Talk.Ask, do.Next.Sub(at(20*time.Second)))
	}
	if s.base.talk.listAsked.Equal(at(20 * time.Second)) {
		t.Error("it counts as asked")
	}
	do = s.turnAt(21*time.Second, "link up")
	if diff := cmp.Diff([]tunnel.Verb{tunnel.ListModules}, do.Talk.Ask); diff != "" {
		t.Errorf("when it is up again (-want +got):\n%s", diff)
	}
}
