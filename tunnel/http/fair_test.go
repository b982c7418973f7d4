package httptunnel

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"module-controller/tunnel"
)

// Whatever others do, a base that answers and has no request in flight gets one, unless a
// quarter of all are those of bases like it.
func TestNobodyTakesTheFirstRequestOfASoundBase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := shares{total: rapid.IntRange(4, 64).Draw(t, "total")}
		bases := make([]record, rapid.IntRange(1, 40).Draw(t, "bases"))
		type held struct {
			base int
			seat seat
		}
		var all []held
		firsts := 0 // of sound bases
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				b := rapid.IntRange(0, len(bases)-1).Draw(t, "base")
				poll := rapid.Bool().Draw(t, "poll")
				first := !poll && bases[b].inFlight == 0 && bases[b].standing() == sound
				one, ok := s.take(&bases[b], poll)
				if ok {
					all = append(all, held{b, one})
				}
				if ok && first {
					firsts++
				}
				if !ok && first && firsts < s.total/4 {
					t.Fatalf("refused though only %d of %d are like it: %+v", firsts, s.total, s)
				}
			},
			"give": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "seat")
				h := all[i]
				all = append(all[:i], all[i+1:]...)
				s.give(&bases[h.base], h.seat)
				if h.seat == (seat{sound, false}) {
					firsts--
				}
			},
			"judge": func(t *rapid.T) {
				b := rapid.IntRange(0, len(bases)-1).Draw(t, "base")
				at := time.Unix(int64(len(all)), 0)
				bases[b].judge(verdict(rapid.IntRange(0, 2).Draw(t, "verdict")), at, at)
			},
			"": func(t *rapid.T) {
				if s.inFlight() != len(all) || s.inFlight() > s.total || s.further > max(1, s.total*5/8) || s.inFlight()-s.firsts > max(1, s.total*3/4) {
					t.Fatalf("%d in flight: %+v", len(all), s)
				}
				if s.used[untried] > s.limit(untried) || s.used[suspect] > s.limit(suspect) {
					t.Fatalf("bases that do not answer have too many: %+v", s)
				}
			},
		})
	})
}

// However 64 bases stand that answer nothing, and whatever they asked for first: others get as
// many requests as a turn of theirs needs.
func TestTheDeadLeaveRoom(t *testing.T) {
	stand := map[string]record{"sound": {answered: true}, "untried": {}, "suspect": {answered: true, strikes: 1}}
	needs := map[string]int{"sound": 5, "untried": 2, "suspect": 1}
	for name, dead := range stand {
		for other, living := range stand {
			t.Run(other+" beside "+name, func(t *testing.T) {
				cfg := Config{}.Complete()
				s := shares{total: cfg.Total}
				for range 64 {
					one := dead
					for n := range cfg.PerBase {
						_, _ = s.take(&one, n > 1)
					}
				}
				for n := range needs[other] {
					if _, ok := s.take(&living, false); !ok {
						t.Errorf("request %d is refused: %+v", n+1, s)
					}
				}
			})
		}
	}
}

func TestHowABaseComesToStand(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var r record
	step := func(v verdict, began, ended int, want standing, strikes int) {
		t.Helper()
		r.judge(v, at(began), at(ended))
		if r.standing() != want || r.strikes != strikes {
			t.Errorf("standing %d with %d strikes, want %d with %d", r.standing(), r.strikes, want, strikes)
		}
	}
	step(nothing, 0, 1, untried, 0)
	step(answered, 1, 1, sound, 0)
	step(nothing, 1, 2, sound, 0)
	step(late, 2, 12, suspect, 1)
	step(late, 3, 13, suspect, 1) // it waited at the same time
	step(answered, 14, 14, sound, 0)
	step(late, 15, 25, suspect, 1)
	step(late, 25, 35, suspect, 3) // that it hangs again weighs more
	step(answered, 36, 36, suspect, 2)
	for range 10 {
		r.judge(late, r.struck, r.struck.Add(time.Second))
	}
	if r.strikes != maxStrikes {
		t.Errorf("%d strikes", r.strikes)
	}
}

func TestWhatTheEndOfARequestSays(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		took     time.Duration
		question bool
		want     verdict
	}{
		"answer":                    {nil, time.Millisecond, true, answered},
		"unusable answer":           {fmt.Errorf("post: %w", errAnswer), time.Millisecond, true, answered},
		"slow answer to a question": {nil, slowAnswer + 1, true, late},
		"slow install":              {nil, time.Minute, false, answered},
		"timeout":                   {fmt.Errorf("post: %w", os.ErrDeadlineExceeded), time.Second, false, late},
		"end of the context":        {fmt.Errorf("post: %w", context.DeadlineExceeded), time.Second, true, late},
		"refused":                   {fmt.Errorf("post: %w", syscall.ECONNREFUSED), time.Millisecond, true, nothing},
		"cut off late":              {fmt.Errorf("post: %w", io.EOF), slowFailure + 1, true, late},
		"gate":                      {fmt.Errorf("post: %w", tunnel.ErrShut), time.Minute, true, nothing},
		"address":                   {fmt.Errorf("post: %w", errAddress), time.Minute, true, nothing},
	} {
		if got := verdictOn(c.err, c.took, c.question); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
