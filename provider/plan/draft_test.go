package plan

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

func TestDraftWakesAtTheEarliest(t *testing.T) {
	d := draft{now: noon}
	for _, s := range []struct{ at, want int }{{30, 30}, {40, 30}, {20, 20}} {
		d.wake(noon.Add(time.Duration(s.at) * time.Second))
		if want := noon.Add(time.Duration(s.want) * time.Second); !d.Next.Equal(want) {
			t.Errorf("next %s, want %s", d.Next, want)
		}
	}
}

func TestDraftTooEarly(t *testing.T) {
	for name, c := range map[string]struct {
		at   time.Time
		want bool
	}{
		"no time": {time.Time{}, false}, "past": {noon.Add(-1), false}, "now": {noon, false}, "to come": {noon.Add(1), true},
	} {
		d := draft{now: noon}
		if got := d.tooEarly(c.at); got != c.want || d.Next.IsZero() == c.want {
			t.Errorf("%s: too early %v, next %s", name, got, d.Next)
		}
	}
}

// A command is found in flight or planned.
func TestDraftDoing(t *testing.T) {
	d := draft{Output: Output{Memory: Memory{Attempts: map[string]Attempt{"stock": {Command: install("stock:1")}}}}}
	d.command(Planned{Command: install("orders:1", replacing), Pod: "p"})
	for word, want := range map[string]tunnel.Verb{
		"orders:1": tunnel.InstallModule, "orders:2": "", "stock:1": tunnel.InstallModule, "stock:2": "", "bills:1": "",
	} {
		if got := d.doing(module(word)).Verb; got != want {
			t.Errorf("%s: doing %q, want %q", word, got, want)
		}
	}
}

func TestDraftCutsEvents(t *testing.T) {
	var d draft
	d.event("p", true, "Reason", "two\nlines")
	if want := (Event{Pod: "p", Warning: true, Reason: "Reason", Message: "two lines"}); d.Events[0] != want {
		t.Errorf("event %+v, want %+v", d.Events[0], want)
	}
}
