package lifecycle

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

// The budget has room for a second's worth at once, then for one after the other; it remembers
// no more than anybody waits for.
func TestTheBudgetOfQuestions(t *testing.T) {
	a := NewAllowance(Config{QuestionRate: 10}.Complete())
	now := noon
	for n := range 10 {
		if room := a.Room(now); !room.Equal(now) {
			t.Errorf("room for question %d after %s", n, room.Sub(now))
		}
		a.Spend(1, now)
	}
	for n := range 3 {
		if got, want := a.Room(now).Sub(now), time.Duration(n+1)*100*time.Millisecond; got != want {
			t.Errorf("%d beyond its burst: room after %s, want %s", n, got, want)
		}
		a.Spend(1, now)
	}
	a.Spend(1_000_000, now)
	if got, want := a.Room(now).Sub(now), time.Minute-900*time.Millisecond; got != want {
		t.Errorf("after very many: room after %s, want %s", got, want)
	}
	now = now.Add(time.Hour)
	if room := a.Room(now); !room.Equal(now) {
		t.Errorf("an hour later: room after %s", room.Sub(now))
	}
	slow := NewAllowance(Config{QuestionRate: 0.5}.Complete())
	slow.Spend(1, now)
	if got := slow.Room(now).Sub(now); got != 2*time.Second {
		t.Errorf("one in two seconds: room after %s", got)
	}
}

// All that were taken over at once get places of their own, as long as they wait at most.
func TestATakeoverIsSpreadByTheBudget(t *testing.T) {
	cfg := Config{QuestionRate: 100}.Complete()
	a, asked := NewAllowance(cfg), map[time.Duration]int{}
	for range 2000 {
		b := New(cfg, id, nodeName, beatOf(noon), nil, noon)
		in := Facts{Now: noon, Load: Load{Room: a.Room(noon)}, Links: map[string]tunnel.Link{"": {Up: true}}}
		var do Actions
		b.talk.healthAsked = noon
		next := b.ask(in, patient, &do)
		a.Spend(do.Talk.Spend, noon)
		if len(do.Talk.Ask) > 0 {
			next = noon
		}
		asked[next.Sub(noon).Truncate(time.Second)]++
	}
	for s := range 8 {
		if n := asked[time.Duration(s)*time.Second]; n < 90 || n > 200 {
			t.Errorf("%d are asked in second %d", n, s)
		}
	}
	if n := asked[8*time.Second]; n < 1000 {
		t.Errorf("%d are asked after 8 s: nobody waits for longer", n)
	}
}
