// Package history says whether what happened kept the invariants of ownership: it
// gets who held which base, what the bases were asked for and did, what Nodes showed and
// what pods asked for, and finds what should not have been. It observes nothing
// itself.
//
// All times are of one machine.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Claim is a holder that stood in a base's Lease, from when that was seen.
type Claim struct {
	At     time.Time
	Base   string
	Holder string
	Epoch  int
}

// Command is one that a base got, in the order in which they came.
type Command struct {
	At      time.Time
	Verb    string
	Module  string // name:version
	Request string // <epoch>-<pod UID>-<n>
}

// Effects are what a base got and what took effect on it since the history began, by
// name:version.
type Effects struct {
	Commands             []Command
	Installs, Uninstalls map[string]int
	// Served is what served from each moment on, the oldest first; nil where that was not
	// observed.
	Served []Serving
}

// Serving is what a base serves from a moment on, name:version.
type Serving struct {
	At      time.Time
	Modules []string
}

// Write is a change that a replica made of a base's Node or of a pod on it, when the API
// server got it.
type Write struct {
	At           time.Time
	Base, Writer string
	What         string
}

// Observation is a Node that was seen not to be Ready, or deleted.
type Observation struct {
	At   time.Time
	Base string
	What string
}

// Pod is one that asked for modules on a base. Times of what has not happened are
// zero.
type Pod struct {
	UID, Base string
	Modules   []string // name:version
	Before    bool     // it had its modules when the history began
	// Meets says that pods of other revisions of its workload may be on its base. There a
	// version is installed to prove that it starts, again to take the other's place, and
	// once more when the rollout is undone: nothing is "once each".
	Meets          bool
	Created, Ready time.Time
	Deleted, Gone  time.Time // the deletion was asked for; it was there no more
}

// Fault is what was done to the system, from when until when. Killed names the
// incarnation whose process was killed, Silenced those that could not renew their
// membership from the beginning to the end, Faulty the bases that did not do what they
// were told, or showed it late.
type Fault struct {
	Begun, Ended time.Time
	Name, Killed string
	Silenced     []string
	Faulty       []string
}

// History is all of it.
type History struct {
	Claims       []Claim // in the order in which they were seen
	Sessions     []Session
	Effects      map[string]Effects
	Writes       []Write
	Observations []Observation
	Pods         []Pod
	Faults       []Fault
	// Began and Ended are when it was observed.
	Began, Ended time.Time
}

// Bounds of what may take how long.
const (
	// Takeover is how soon a killed owner's bases are owned again.
	Takeover = 12 * time.Second
	// renewDeadline is how long a replica's claims are valid after its last renewal
	// (RENEW_DEADLINE), and inFlight how long what it sent until then may be under way
	// to a base.
	renewDeadline, inFlight = 3500 * time.Millisecond, time.Second
	// calm and healing are how soon a pod shows what is so, without a fault and after
	// the end of one.
	calm, healing = 10 * time.Second, 60 * time.Second
)

// Report is what a history shows in numbers.
type Report struct {
	Faults, Claims, Commands, Writes, Pods int
	// Takeover is the longest that a base of a killed replica had no owner that was running,
	// Kills of how many kills that was measured: those that no other fault followed
	// too soon.
	Takeover time.Duration
	Kills    int
	// ToReady and ToGone are the longest from a pod's creation to its readiness and
	// from its deletion to its end.
	ToReady, ToGone time.Duration
	// Unowned is the longest that a base had no owner that was a member.
	Unowned time.Duration
}

// String is a report in one line.
func (r Report) String() string {
	return fmt.Sprintf("%d faults, %d claims, %d commands, %d writes of Nodes and pods, %d pods; a pod was Ready after %s and gone after %s at most; %d kills were alone, after which the last base was owned again within %s; no base was without a member as its owner for longer than %s",
		r.Faults, r.Claims, r.Commands, r.Writes, r.Pods, r.ToReady.Round(time.Millisecond), r.ToGone.Round(time.Millisecond), r.Kills, r.Takeover.Round(time.Millisecond), r.Unowned.Round(time.Millisecond))
}

// Check gives what broke an invariant, and the numbers.
func (h *History) Check() (violations []string, r Report) {
	c := &check{
		History: h, holders: map[string]map[int]string{}, of: map[string][]Claim{},
		report: Report{Faults: len(h.Faults), Claims: len(h.Claims), Writes: len(h.Writes), Pods: len(h.Pods)},
	}
	c.claims()
	c.report.Unowned = c.unowned()
	for _, w := range h.Writes {
		c.written(w)
	}
	for _, base := range sortedKeys(h.Effects) {
		c.order(base)
		c.asked(base)
		c.served(base)
	}
	for _, o := range h.Observations {
		c.bad("I3: the Node of %s was %s at %s", o.Base, o.What, stamp(o.At))
	}
	for _, p := range h.Pods {
		c.prompt(p)
	}
	for i := range h.Faults {
		c.takenOver(i)
	}
	return c.found, c.report
}

type check struct {
	*History
	holders map[string]map[int]string // by base and epoch
	of      map[string][]Claim        // by base
	found   []string
	report  Report
}

func (c *check) bad(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func stamp(t time.Time) string { return t.Format("15:04:05.000") }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
