package election

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"

	"module-controller/shard"
)

func asked(notes map[string]string) *coordinationv1.Lease {
	l := heldBy("mc-0_0123abcd", noon)
	l.Annotations = notes
	return l
}

// What is asked of a member is read as it was written, and what is not understood is left out.
func TestRequestsAreRead(t *testing.T) {
	pins := map[string]time.Time{"vnode.a.dev": noon, "vnode.b.dev": noon.Add(time.Hour)}
	notes := map[string]string{}
	for _, change := range []map[string]*string{Cordon(true), Pin(pins)} {
		for key, value := range change {
			notes[key] = *value
		}
	}
	if d := cmp.Diff(shard.Requests{Cordoned: true, Pins: pins}, parseRequests(asked(notes))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	many := make([]string, 0, MaxPins+1)
	for i := range MaxPins + 1 {
		many = append(many, fmt.Sprintf("vnode.%d.dev=2026-11-24T12:00:00Z", i))
	}
	for text, want := range map[string]struct {
		pins, refused int
	}{
		"": {0, 0}, "a=2026-11-24T12:00:00Z": {1, 0}, " a=2026-11-24T12:00:00Z , b=2026-11-24T12:00:00+01:00": {2, 0},
		"a": {0, 1}, "a=tomorrow,b=2026-11-24T12:00:00Z": {1, 1}, "=2026-11-24T12:00:00Z": {0, 1}, "a=2026-11-24T12:00:00Z,": {1, 1},
		strings.Join(many, ","): {MaxPins, 1},
	} {
		pins, refused := parsePins(text)
		if len(pins) != want.pins || len(refused) != want.refused {
			t.Errorf("%q has %d pins, and %q are refused", text, len(pins), refused)
		}
	}
	for _, is := range []string{"yes", "false", "", "TRUE"} {
		if parseRequests(asked(map[string]string{CordonedNote: is})).Cordoned {
			t.Errorf("%q cordons", is)
		}
	}
}

// A renewal leaves what is asked as it is, but for pins that are over; it tells that this
// session obeys, which the next one of an earlier version does not take over.
func TestARenewalLeavesRequests(t *testing.T) {
	cfg := whole()
	was := asked(map[string]string{CordonedNote: "true", PinsNote: "old=2026-11-24T12:00:00Z,vnode.a.dev=2026-11-24T12:00:01Z,junk"})
	next := joined(was, cfg, announcement{}, noon)
	r := parseRequests(next)
	if !r.Obeys || !r.Cordoned || next.Annotations[PinsNote] != "vnode.a.dev=2026-11-24T12:00:01Z" {
		t.Errorf("it has %v", next.Annotations)
	}
	if next = joined(next, cfg, announcement{}, noon.Add(time.Second)); next.Annotations[PinsNote] != "" || parseRequests(next).Pins != nil {
		t.Errorf("when the pin is over it has %v", next.Annotations)
	}
	earlier := "mc-0_99999999"
	next.Spec.HolderIdentity = &earlier
	if parseRequests(next).Obeys {
		t.Error("a session obeys that does not say so")
	}
	if vacant := vacated(next, ""); !parseRequests(vacant).Cordoned {
		t.Error("who leaves takes the cordon away")
	}
}
