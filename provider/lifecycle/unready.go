package lifecycle

import (
	"time"

	"module-controller/provider/plan"
)

// unready is why the pods of a base are not ready, whatever their modules were last seen to
// do. It begins with the Node's reason and outlasts it: that a base is heard again tells
// nothing of its modules.
type unready struct {
	// reason is the one that the Node shows, or showed last; empty for none.
	reason string
	// until is up to when it is known to hold: a list that came later ends it.
	until time.Time
	// returned: the Node shows it no more, and the list is waited for.
	returned bool
}

// follow takes in how the Node is to show. Holds is up to when a reason that it shows is
// known to hold, listed when the base's last list came.
func (u *unready) follow(nodes string, holds, listed time.Time) {
	switch {
	case ofTheBase(nodes):
		*u = unready{reason: nodes, until: holds}
	case listed.After(u.until):
		*u = unready{}
	default:
		u.returned = u.reason != ""
	}
}

// ofTheBase says whether a reason of a Node is that something is wrong with its base.
// Others are there that another controller gave, for the Node was not written.
func ofTheBase(reason string) bool {
	switch reason {
	case plan.ReasonBaseSilent, plan.ReasonBaseNotAnswering, plan.ReasonIdentityConflict, plan.ReasonBasePodDeleted:
		return true
	}
	return false
}
