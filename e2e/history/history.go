// Package history says whether what happened kept the invariants of ownership: it
// gets who held which base, what the bases were told and did, what Nodes showed and
// what pods asked for, and finds what should not have been. It observes nothing
// itself.
//
// All times are of one machine.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// Deeds are what a base got and what took effect on it since the history began, by
// name:version.
type Deeds struct {
	Commands             []Command
	Installs, Uninstalls map[string]int
}

// Write is a change that a replica made of a base's Node or of a pod on it, when the API
// server got it.
type Write struct {
	At           time.Time
	Base, Writer string
	What         string
}

// Sight is a Node that was seen not to be Ready, or deleted.
type Sight struct {
	At   time.Time
	Base string
	What string
}

// Pod is one that asked for a module on a base. Times of what has not happened are
// zero.
type Pod struct {
	UID, Base, Module string
	Before            bool // it had its module when the history began
	Created, Ready    time.Time
	Deleted, Gone     time.Time // the deletion was asked for; it was there no more
}

// Fault is what was done to the system, from when until when. Killed names the
// incarnation whose process was killed, Silenced those that could not renew their
// membership from the beginning to the end.
type Fault struct {
	Begun, Ended time.Time
	Name, Killed string
	Silenced     []string
}

// History is all of it.
type History struct {
	Claims []Claim // in the order in which they were seen
	Deeds  map[string]Deeds
	Writes []Write
	Sights []Sight
	Pods   []Pod
	Faults []Fault
	// Began and Ended are when it was observed.
	Began, Ended time.Time
}

// Bounds of what may take how long.
const (
	// Takeover is how soon a killed owner's bases are owned again.
	Takeover = 12 * time.Second
	// act is how long a replica may act after its last renewal (ACT_WINDOW), and
	// onTheWay how long what it sent until then may be on its way to a base.
	act, onTheWay = 3500 * time.Millisecond, time.Second
	// calm and healing are how soon a pod shows what is so, without a fault and after
	// the end of one.
	calm, healing = 10 * time.Second, 60 * time.Second
)

// Report is what a history shows in numbers.
type Report struct {
	Faults, Claims, Commands, Writes, Pods int
	// Takeover is the longest that a base of a killed replica had no living owner,
	// Kills of how many kills that was measured: those that no other fault followed
	// too soon.
	Takeover time.Duration
	Kills    int
	// ToReady and ToGone are the longest from a pod's creation to its readiness and
	// from its deletion to its end.
	ToReady, ToGone time.Duration
}

// Check gives what broke an invariant, and the numbers.
func (h *History) Check() (violations []string, r Report) {
	c := &check{
		History: h, holders: map[string]map[int]string{}, of: map[string][]Claim{},
		report: Report{Faults: len(h.Faults), Claims: len(h.Claims), Writes: len(h.Writes), Pods: len(h.Pods)},
	}
	c.claims()
	for _, w := range h.Writes {
		c.written(w)
	}
	for _, base := range sortedKeys(h.Deeds) {
		c.order(base)
		c.asked(base)
	}
	for _, s := range h.Sights {
		c.bad("I3: the Node of %s was %s at %s", s.Base, s.What, stamp(s.At))
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

// claims checks that each epoch of a base has one holder, and that they only grow.
func (c *check) claims() {
	last := map[string]Claim{}
	for _, claim := range c.Claims {
		if c.holders[claim.Base] == nil {
			c.holders[claim.Base] = map[int]string{}
		}
		was := c.holders[claim.Base][claim.Epoch]
		if was != "" && was != claim.Holder {
			c.bad("I1: epoch %d of %s has two holders, %s and %s", claim.Epoch, claim.Base, was, claim.Holder)
		}
		if before := last[claim.Base]; claim.Epoch < before.Epoch {
			c.bad("I2: the epoch of %s fell from %d to %d", claim.Base, before.Epoch, claim.Epoch)
		}
		c.holders[claim.Base][claim.Epoch] = claim.Holder
		c.of[claim.Base] = append(c.of[claim.Base], claim)
		last[claim.Base] = claim
	}
}

// order checks that commands come in the order of their epochs, each of an epoch
// that somebody had, and none once a later epoch was seen.
func (c *check) order(base string) {
	highest := 0
	for _, command := range c.Deeds[base].Commands {
		if command.At.Before(c.Began) {
			continue // who was the owner then was not seen
		}
		c.report.Commands++
		epoch, _, err := request(command.Request)
		if err != nil {
			c.bad("I5: %s got %s %s with the request %q: %v", base, command.Verb, command.Module, command.Request, err)
			continue
		}
		if epoch < highest {
			c.bad("I2: %s got %s %s of epoch %d at %s after one of epoch %d", base, command.Verb, command.Module, epoch, stamp(command.At), highest)
		}
		highest = max(highest, epoch)
		if c.holders[base][epoch] == "" {
			c.bad("I1: %s got %s %s of epoch %d, which nobody had", base, command.Verb, command.Module, epoch)
		}
		c.silent(base, command, c.holders[base][epoch])
		for _, claim := range c.of[base] {
			if claim.Epoch > epoch && command.At.After(claim.At) {
				c.bad("I1: %s got %s %s of epoch %d at %s, after %s had it with epoch %d at %s",
					base, command.Verb, command.Module, epoch, stamp(command.At), claim.Holder, claim.Epoch, stamp(claim.At))
				break
			}
		}
	}
}

// silent checks that whoever cannot renew its membership sends nothing once its time
// to act is over.
func (c *check) silent(base string, command Command, sender string) {
	for _, f := range c.Faults {
		over := f.Begun.Add(act + onTheWay)
		if slices.Contains(f.Silenced, sender) && command.At.After(over) && command.At.Before(f.Ended) {
			c.bad("I1: %s got %s %s at %s from %s, which could not renew since %s (%s)",
				base, command.Verb, command.Module, stamp(command.At), sender, stamp(f.Begun), f.Name)
		}
	}
}

// request reads what a request id tells: the epoch and for whom.
func request(id string) (epoch int, pod string, err error) {
	first, rest, ok := strings.Cut(id, "-")
	if i := strings.LastIndexByte(rest, '-'); ok && i > 0 {
		pod = rest[:i]
	} else {
		return 0, "", fmt.Errorf("it is no <epoch>-<pod>-<n>")
	}
	epoch, err = strconv.Atoi(first)
	return epoch, pod, err
}

// asked checks that what took effect is what pods asked for, once each.
func (c *check) asked(base string) {
	byUID, installs, uninstalls := map[string]Pod{}, map[string]int{}, map[string]int{}
	for _, p := range c.Pods {
		if p.Base != base {
			continue
		}
		byUID[p.UID] = p
		if !p.Ready.IsZero() {
			if !p.Before {
				installs[p.Module]++
			}
			if !p.Gone.IsZero() {
				uninstalls[p.Module]++
			}
		}
	}
	deeds := c.Deeds[base]
	given := map[[2]string]bool{} // verb and pod; a pod has one module
	for _, command := range deeds.Commands {
		_, uid, err := request(command.Request)
		if err != nil || uid == "controller" {
			continue
		}
		if p, known := byUID[uid]; !known || p.Module != command.Module {
			c.bad("I5: %s got %s %s for pod %s, which did not ask for it", base, command.Verb, command.Module, uid)
		}
		if once := [2]string{command.Verb, uid}; given[once] {
			c.bad("I5: %s got %s %s for pod %s again at %s (%s)", base, command.Verb, command.Module, uid, stamp(command.At), command.Request)
		} else {
			given[once] = true
		}
	}
	c.counts(base, "installed", deeds.Installs, installs)
	c.counts(base, "uninstalled", deeds.Uninstalls, uninstalls)
}

func (c *check) counts(base, done string, is, want map[string]int) {
	for _, module := range sortedKeys(want) {
		if is[module] != want[module] {
			c.bad("I5: %s was %s %d times on %s, want %d", module, done, is[module], base, want[module])
		}
	}
	for _, module := range sortedKeys(is) {
		if _, known := want[module]; !known {
			c.bad("I5: %s was %s %d times on %s, and no pod asked", module, done, is[module], base)
		}
	}
}

// prompt checks that a pod showed in time what was so.
func (c *check) prompt(p Pod) {
	c.report.ToReady = max(c.report.ToReady, c.took(p, "Ready", p.Created, p.Ready))
	if !p.Deleted.IsZero() {
		c.report.ToGone = max(c.report.ToGone, c.took(p, "gone", p.Deleted, p.Gone))
	}
}

func (c *check) took(p Pod, what string, from, to time.Time) time.Duration {
	if to.IsZero() {
		c.bad("I4: the pod of %s on %s never was %s", p.Module, p.Base, what)
		return 0
	}
	due := from.Add(calm)
	for _, f := range c.Faults {
		if f.Begun.Before(to) && f.Ended.Add(healing).After(from) {
			due = later(due, later(from, f.Ended).Add(healing))
		}
	}
	if to.After(due) {
		c.bad("I4: the pod of %s on %s was %s %s after it should have been", p.Module, p.Base, what, to.Sub(due))
	}
	return to.Sub(from)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// takenOver checks that the bases of a killed replica were owned again in time, where
// nothing else happened meanwhile.
func (c *check) takenOver(i int) {
	f := c.Faults[i]
	if f.Killed == "" {
		return
	}
	until := f.Begun.Add(Takeover)
	for j, o := range c.Faults {
		if j != i && o.Begun.Before(until) && o.Ended.Add(Takeover).After(f.Begun) {
			return // the slower of two faults says nothing of one
		}
	}
	c.report.Kills++
	held := map[string]bool{}
	for _, claim := range c.Claims {
		if !claim.At.After(f.Begun) {
			held[claim.Base] = claim.Holder == f.Killed
		} else if held[claim.Base] {
			delete(held, claim.Base)
			took := claim.At.Sub(f.Begun)
			if c.report.Takeover = max(c.report.Takeover, took); took > Takeover {
				c.bad("I6: %s of %s was owned again %s after the kill", claim.Base, f.Killed, took)
			}
		}
	}
	for _, base := range sortedKeys(held) {
		if held[base] && c.Ended.After(until) {
			c.bad("I6: %s of %s was never owned again", base, f.Killed)
		}
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
