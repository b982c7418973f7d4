package diagnose

import (
	"fmt"
	"time"

	"module-controller/internal/fleet"
)

// What people asked of members, which may be meant and may be forgotten.

// cordonedMembers tells of members that are asked to have no bases.
func cordonedMembers(s *fleet.Snapshot) (all []told) {
	for _, m := range s.Live() {
		if !m.Cordoned {
			continue
		}
		f := found{
			cause:    "this member is cordoned: it gives its bases up, and takes none",
			remedy:   "once the maintenance is over: kubectl modules drain " + m.Name + " --undo",
			evidence: []string{fmt.Sprintf("Lease %s/%s: it is cordoned, and owns %s", m.Installation, m.Name, count(len(s.Owned(m)), "base", "bases"))},
		}
		if envs := s.Without(m.Name); len(envs) > 0 {
			f.cause = "this member is cordoned, and keeps its bases of " + some(envs) + ", for no other member is ready to have them"
			f.remedy = "start more replicas, or undo it: kubectl modules drain " + m.Name + " --undo"
			all = append(all, told{memberObject(m), *f.mild(Warning)})
			continue
		}
		all = append(all, told{memberObject(m), *f.mild(Note)})
	}
	return all
}

// requestsWait tells of requests that do not count, because of members that know none.
func requestsWait(s *fleet.Snapshot) (all []told) {
	obeyed, not := s.Obeyed()
	if obeyed {
		return nil
	}
	for _, m := range s.Live() {
		if !m.Cordoned && len(m.Pins) == 0 {
			continue
		}
		all = append(all, told{memberObject(m), *found{
			cause:    "what is asked of this member waits: " + some(not) + ", of an earlier version, would give bases back",
			remedy:   "let the rollout finish, so that all members are of this version",
			evidence: []string{fmt.Sprintf("Lease %s/%s: cordoned is %t, %s pinned to it", m.Installation, m.Name, m.Cordoned, count(len(m.Pins), "base is", "bases are"))},
		}.mild(Warning)})
	}
	return all
}

// pinned tells of a base that was moved by hand.
func pinned(s *fleet.Snapshot, b *fleet.Base) *found {
	pin, is := s.PinOf(b.Name)
	if !is {
		return nil
	}
	f := found{
		cause:    fmt.Sprintf("this base was moved by hand: it is pinned to %s until %s", pin.Member, pin.Until.UTC().Format(time.RFC3339)),
		remedy:   "nothing, if it is meant; kubectl modules move " + b.ID.Identity + " --undo ends it",
		evidence: []string{fmt.Sprintf("Lease %s/%s: it has the pin", s.Namespace, pin.Member)},
	}
	if pin.Waits {
		f.cause += ", which cannot have it now"
	}
	return f.mild(Note)
}
