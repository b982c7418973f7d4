package election

import (
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"

	"module-controller/shard"
)

// What Leases tell whoever looks at the fleet from outside. Nothing here decides anything.

// MemberSelector selects membership Leases in any namespace, BaseSelector the Leases of
// bases that members wrote. Those of other controllers carry no label.
const (
	MemberSelector = labelComponent + "=" + componentMember
	BaseSelector   = labelComponent + "=" + componentBase
)

// States of a member, as its Lease tells them.
const (
	StateServing  = memberServing
	StateDraining = memberDraining
	StateReleased = memberReleased // it left by itself
	StateExpired  = memberExpired  // another member emptied its Lease
)

// MemberLease is a membership Lease, read.
type MemberLease struct {
	shard.Member
	// Installation is the Lease's namespace.
	Installation string
	// State is one of the states above, empty where a version wrote it that says none.
	State, Version string
	// Owned and Assigned count the bases that it owns, and that it should.
	Owned, Assigned int
	// ExpiredBy is the session that emptied the Lease, empty for none.
	ExpiredBy string
	// Trouble is why a tunnel of it is down, in its own words; empty where none is.
	Trouble string
}

// ReadMember reads a membership Lease.
func ReadMember(l *coordinationv1.Lease) MemberLease {
	m := MemberLease{Member: parseMember(l), Installation: l.Namespace, State: l.Annotations[noteState],
		Version: l.Annotations[noteVersion], ExpiredBy: l.Annotations[noteExpiredBy], Trouble: l.Annotations[noteTrouble]}
	m.Owned, _ = strconv.Atoi(l.Annotations[noteOwned]) // absent in what others wrote: 0
	m.Assigned, _ = strconv.Atoi(l.Annotations[noteAssigned])
	return m
}

// ReadBase reads a base's Lease.
func ReadBase(l *coordinationv1.Lease) shard.Lease { return parse(l) }

// LastOwner is the pod that a base's Lease names as its owner, also of a holder that is
// another controller's now; empty where no member ever wrote it.
func LastOwner(l *coordinationv1.Lease) string {
	if pod, is := shard.PodOf(ptr.Deref(l.Spec.HolderIdentity, "")); is {
		return pod
	}
	return l.Labels[labelOwner]
}
