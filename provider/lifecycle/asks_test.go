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

// A base is asked the less often the longer nothing of it was uncertain, and in time before
// its silence counts.
func TestWhenTheListIsDue(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		name   string
		asked  time.Duration // below zero: never
		listed time.Duration
		talk   talk
		need   need
		seen   time.Duration
		from   time.Duration
		until  time.Duration
	}{
		{"never asked: within 8 s since it is served", -1, 0, talk{}, patient, 0, 0, 8 * s},
		{"never asked, and something is uncertain", -1, 0, talk{}, urgent, 0, 0, 0},
		{"never asked, needed", -1, 0, talk{}, awaited, 0, 0, 0},
		{"its tunnel does not hear it yet", -1, 0, talk{askAgain: at(s / 25), owed: 3}, awaited, 0, s / 25, s / 25},
		{"needed, none owed", s, s, talk{}, awaited, 0, 1300 * s / 1000, 1300 * s / 1000},
		{"needed, one owed", s, s, talk{owed: 1}, awaited, 0, 1600 * s / 1000, 1600 * s / 1000},
		{"needed, two owed", s, s, talk{owed: 2}, awaited, 0, 2200 * s / 1000, 2200 * s / 1000},
		{"needed, four owed", s, s, talk{owed: 4}, awaited, 0, 5800 * s / 1000, 5800 * s / 1000},
		{"needed, five owed: no less than otherwise", s, s, talk{owed: 5}, awaited, 0, 9 * s, 9 * s},
		{"needed, very many owed", s, s, talk{owed: 1 << 20}, awaited, 0, 9 * s, 9 * s},

		{"asked: after 8 s", s, s, talk{}, patient, 0, 9 * s, 9 * s},
		{"asked when something was uncertain", 100 * s, 100 * s, talk{stirred: at(100 * s)}, urgent, 100 * s, 108 * s, 108 * s},
		{"asked 8 s later", 108 * s, 108 * s, talk{stirred: at(100 * s)}, patient, 108 * s, 116 * s, 116 * s},
		{"asked 16 s later", 116 * s, 116 * s, talk{stirred: at(100 * s)}, patient, 200 * s, 132 * s, 176 * s},
		{"asked 32 s later", 132 * s, 132 * s, talk{stirred: at(100 * s)}, patient, 200 * s, 164 * s, 192 * s},
		{"asked long after", 900 * s, 900 * s, talk{stirred: at(100 * s)}, patient, 950 * s, 960 * s, 960 * s},
		{"it did not come", 900 * s, 899 * s, talk{stirred: at(100 * s)}, patient, 950 * s, 908 * s, 908 * s},
		{"the link came up since", 900 * s, 900 * s, talk{followed: tunnel.Heartbeat{Tunnel: "up at 890 s"}}, patient, 950 * s, 910 * s, 960 * s},
		{"nothing is heard of it", 900 * s, 900 * s, talk{}, patient, 900 * s, 920 * s, 920 * s},
		{"nothing is heard of it for long", 900 * s, 900 * s, talk{}, patient, 800 * s, 908 * s, 908 * s},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
			b.talk, b.about.lastSeen, b.seen.listed = c.talk, at(c.seen), at(c.listed)
			if c.asked >= 0 {
				b.talk.listAsked = at(c.asked)
			}
			in := Facts{Links: map[string]tunnel.Link{"up at 890 s": {Up: true, Since: at(890 * s)}}}
			due := b.listDue(in, c.need)
			silent := due.silent.Due()
			if from, until := earliest(due.at(time.Time{}), silent), earliest(due.at(at(time.Hour)), silent); !from.Equal(at(c.from)) || !until.Equal(at(c.until)) {
				t.Errorf("due from %s to %s, want from %s to %s", from.Sub(noon), until.Sub(noon), c.from, c.until)
			}
		})
	}
}

func TestWhenTheHealthIsDue(t *testing.T) {
	s, known := time.Second, &tunnel.Health{}
	for _, c := range []struct {
		name   string
		talk   talk
		need   need
		health *tunnel.Health
		config Config
		from   time.Duration
		until  time.Duration
	}{
		{"never asked: within 8 s since it is served", talk{}, patient, nil, Config{}, 0, 8 * s},
		{"never asked, and something is uncertain", talk{}, urgent, nil, Config{}, 0, 0},
		{"its tunnel does not hear it yet", talk{askAgain: at(s)}, patient, known, Config{}, s, s},
		{"not known: as often as the list", talk{healthAsked: at(s)}, patient, nil, Config{}, 9 * s, 9 * s},
		{"known: every minute", talk{healthAsked: at(s)}, urgent, known, Config{}, 61 * s, 69 * s},
		{"not known, and wanted more often than the list", talk{healthAsked: at(s)}, patient, nil, Config{HealthEvery: 2 * s}, 3 * s, 3 * s},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(c.config.Complete(), id, nodeName, beatOf(noon), nil, noon)
			b.talk, b.seen.health = c.talk, c.health
			if got, want := b.healthDue(c.need), (span{from: at(c.from), until: at(c.until)}); got != want {
				t.Errorf("due from %s to %s, want from %s to %s", got.from.Sub(noon), got.until.Sub(noon), c.from, c.until)
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
			again := b.Asked(tunnel.ListModules, noon, deaf)
			got = append(got, again.Sub(noon)/time.Millisecond)
			list, health := b.listDue(Facts{}, awaited), b.healthDue(awaited)
			if list != promptly(again) || health != promptly(again) || b.talk.owed != 0 {
				t.Errorf("it is asked again at %s, for its list at %v, its health at %v", again, list, health)
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
	if again := b.Asked(tunnel.ListModules, noon, nil); !again.IsZero() {
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
		{"asked", true, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, nil) }, noon},
		{"asked again", true, earlier, func(b *Base) { b.Asked(tunnel.ListModules, noon, nil) }, earlier},
		{"sent", true, time.Time{}, func(b *Base) { b.Sent(command, noon) }, noon},
		{"asked for ever without its tunnel hearing it", true, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, tunnel.ErrNotFollowed) }, noon},
		{"not asked: too much is in flight", true, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, tunnel.ErrBusy) }, time.Time{}},
		{"not asked: the link is down", true, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, tunnel.ErrNotLinked) }, time.Time{}},
		{"not asked: another error", true, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, errors.New("other")) }, time.Time{}},
		{"asked before it is back", false, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, nil) }, time.Time{}},
		{"sent before it is back", false, time.Time{}, func(b *Base) { b.Sent(command, noon) }, time.Time{}},
		{"not heard by its tunnel before it is back", false, time.Time{}, func(b *Base) { b.Asked(tunnel.ListModules, noon, tunnel.ErrNotFollowed) }, time.Time{}},
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
