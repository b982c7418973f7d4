package plan

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// Attempt is the last command sent for a module name on a base. There is at most
// one in flight for each name.
type Attempt struct {
	tunnel.Command
	Pod  types.UID // for whom; empty for an uninstall that no pod waits for
	Why  string    // see Planned
	Sent time.Time
	// Since is when the first command was sent of those that this one repeats, which may
	// still be under way; zero where it repeats none. Refused is how many of them the base
	// refused as busy. Fetches: an install is among them.
	Since   time.Time
	Refused int
	Fetches bool
	// Late: it was not answered in time, so it does not count as in flight any more, though
	// the base may be at it yet. Hung: its module's start does not end, so it counts as
	// nothing at all.
	Late, Hung bool
	// Told: an Event told that it takes long.
	Told bool
	// Before is what was listed when it was sent: an answer need not tell what a
	// jar turned out to be, but what is new in the list does. Was is how its own module was
	// listed, zero where it was not: what came of a replacement shows beside it only.
	Before []tunnel.ModuleKey
	Was    tunnel.Module
	// Answer is what the base said, nil while it has said nothing.
	Answer   *tunnel.Answer
	Answered time.Time
	// Restarted says that the base was restarted, or unfollowed, after Sent: no
	// answer will come and no effect is left.
	Restarted bool
}

// Next is the attempt that a command makes which is sent after this one, beside these listed
// modules: what this one began may still be under way. The zero Attempt is none.
func (a Attempt) Next(c Planned, at time.Time, beside []tunnel.Module) Attempt {
	next := Attempt{Command: c.Command, Pod: c.Pod, Why: c.Why, Sent: at, Before: make([]tunnel.ModuleKey, 0, len(beside))}
	for _, m := range beside {
		next.Before = append(next.Before, m.ModuleKey)
		if m.ModuleKey == c.Module {
			next.Was = m
		}
	}
	if !a.goesOn(c.Command) {
		return next
	}
	if c.Verb == tunnel.UninstallModule && c.Module == a.Module { // it does not serve any more, so nothing tells why
		next.Why = cmp.Or(c.Why, a.Why)
	}
	next.Fetches = a.Fetches || a.Verb == tunnel.InstallModule
	next.Since, next.Told, next.Refused = a.begun(), a.Told, a.Refused
	if a.busy() {
		next.Refused++
	}
	return next
}

// goesOn says that a command asks once more for what this one may have begun. An install
// that may be under way is asked about by any command of its name.
func (a Attempt) goesOn(c tunnel.Command) bool {
	switch {
	case a.Verb == tunnel.InstallModule, a.Fetches:
		return true
	}
	return a.Verb == c.Verb && a.Module == c.Module
}

// begun is when the first of the commands was sent that may still be under way.
func (a Attempt) begun() time.Time {
	if a.Since.IsZero() {
		return a.Sent
	}
	return a.Since
}

// installs says that it is to install a module.
func (a Attempt) installs(key tunnel.ModuleKey) bool {
	return a.Verb == tunnel.InstallModule && a.Module == key
}

// busy says that the base answered that it works on the module already.
func (a Attempt) busy() bool { return a.Answer != nil && a.Answer.Outcome == tunnel.Busy }

// mayWork says that the base may have done what it has not answered: not what it refused,
// unless that repeats what it may be at.
func (a Attempt) mayWork() bool {
	if a.Answer == nil {
		return true
	}
	return a.busy() && !a.Since.IsZero()
}

// asks says of an uninstall that it is to find out whether an install is still under way:
// that the module is not listed tells nothing then.
func (a Attempt) asks() bool { return a.Verb == tunnel.UninstallModule && a.Fetches }
