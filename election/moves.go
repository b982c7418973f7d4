package election

import (
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"

	"module-controller/shard"
)

// Move is one change of who owns a base, in which this replica took part.
type Move struct {
	At time.Time
	// Base is the name of the base's Lease.
	Base string
	// How is one of MoveClaimed to MoveRetired.
	How string
	// Epoch is the base's after it.
	Epoch int32
	// Other is the member that had the base before, or has it now; empty where there is none,
	// or it is not known.
	Other string
	// Why is for people: its words may change.
	Why string
}

// How a base moves. The first two are gains.
const (
	MoveClaimed     = "claimed"
	MoveReceived    = "received"
	MoveTransferred = "transferred"
	MoveReleased    = "released"
	MoveLost        = "lost"
	MoveRetired     = "retired"
)

// keepMoves is how many moves a session remembers.
const keepMoves = 200

// moveLog remembers the last moves of a session.
type moveLog struct {
	mu sync.Mutex
	// mu guards what follows
	last []Move // at most keepMoves, the oldest first, from next on
	next int    // where the next one goes once there are as many
}

func (l *moveLog) add(m Move) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) < keepMoves {
		l.last = append(l.last, m)
		return
	}
	l.last[l.next] = m
	l.next = (l.next + 1) % keepMoves
}

// newestFirst gives what is remembered.
func (l *moveLog) newestFirst() []Move {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Concat(l.last[l.next:], l.last[:l.next])
	slices.Reverse(all)
	return all
}

// Moves gives the last moves of this session, the newest first.
func (r *Replica) Moves() []Move { return r.moves.newestFirst() }

// Seen gives the Leases of members and of bases that are known: others' as they were when they
// changed hands, or were listed last. They must not be changed.
func (r *Replica) Seen() (members, bases []*coordinationv1.Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members.all(), r.bases.all()
}

// noteClaimed remembers a claim that wrote over a Lease; nil for none.
func (r *Replica) noteClaimed(key string, epoch int32, over *coordinationv1.Lease) {
	m := Move{At: r.cfg.Wall(), Base: key, How: MoveClaimed, Epoch: epoch, Why: "the base is new: it had no Lease"}
	if over != nil {
		m.Other, m.Why = r.whyClaimable(over)
	}
	r.moves.add(m)
}

// whyClaimable says whose a Lease was that may be claimed, and why it may.
func (r *Replica) whyClaimable(over *coordinationv1.Lease) (was, why string) {
	seen := parse(over)
	was, member := shard.PodOf(seen.Holder)
	switch {
	case seen.Released:
		return "", "its last owner had given it up to nobody"
	case seen.Holder == "":
		return "", "its Lease named no owner"
	case !member:
		return seen.Holder, "its holder, which is no member, did not renew it"
	}
	r.mu.Lock()
	lease := r.members[was]
	r.mu.Unlock()
	switch {
	case lease == nil:
		return was, was + " is no member any more"
	case lease.Annotations[noteLast] != seen.Holder:
		return was, "that session of " + was + " is over"
	case lease.Annotations[noteExpiredBy] != "":
		by, _ := shard.PodOf(lease.Annotations[noteExpiredBy])
		return was, was + " did not renew its membership, and was expired by " + by
	}
	return was, was + " left"
}

// noteReceived remembers a base that its owner handed over to this replica; was is its Lease
// before, nil where that is not known.
func (r *Replica) noteReceived(was *coordinationv1.Lease, seen shard.Lease, key string) {
	if !seen.Transferred || seen.Holder != r.cfg.Incarnation || was == nil || holds(r.cfg.Incarnation, was) {
		return
	}
	from, _ := shard.PodOf(ptr.Deref(was.Spec.HolderIdentity, ""))
	r.moves.add(Move{At: r.cfg.Wall(), Base: key, How: MoveReceived, Epoch: seen.Epoch, Other: from, Why: "its owner handed it over"})
}

// noteEnd remembers how a claim ended, by what the Lease shows now.
func (r *Replica) noteEnd(key string, seen shard.Lease, end shard.End) {
	to, member := shard.PodOf(seen.Holder)
	if !member {
		to = seen.Holder
	}
	m := Move{At: r.cfg.Wall(), Base: key, Epoch: seen.Epoch, Other: to}
	r.mu.Lock()
	draining, linked := r.draining, r.self.linked
	r.mu.Unlock()
	switch end {
	case shard.NoEnd:
		return
	case shard.Lost:
		m.How, m.Why = MoveLost, "somebody else wrote its Lease"
	case shard.Transferred:
		m.How, m.Why = MoveTransferred, to+" should own it, so that bases are shared evenly"
	case shard.Released:
		m.How, m.Why = MoveReleased, "no other member can have it"
	}
	switch {
	case end == shard.Lost:
	case draining:
		m.Why = "this member leaves"
	case !linked && end == shard.Transferred:
		m.Why = "a tunnel of this member is down"
	}
	r.moves.add(m)
}

// noteRetired remembers that a base is gone.
func (r *Replica) noteRetired(key string, epoch int32) {
	r.moves.add(Move{At: r.cfg.Wall(), Base: key, How: MoveRetired, Epoch: epoch, Why: "the base is gone"})
}
