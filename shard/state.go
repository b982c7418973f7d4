package shard

import (
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// State is what one replica knows of members and bases. It is not safe for
// concurrent use. Bases are named by their Lease's name.
type State struct {
	Membership
	// installation is ours. Only its members' sessions are known here.
	installation string
	envOf        func(key string) string
	// draining: every base is handed over and none is claimed, by a time.
	draining bool
	drainBy  time.Time

	bases map[string]*base // by key
	// holds are the bases by who holds their Leases, or held them when they were deleted.
	holds    holdings
	assigned assignment
	turns    turns
	// newcomers are bases that have neither a Lease nor a Node.
	newcomers newcomers
	given     map[string]given              // by incarnation: what was not taken up yet
	epochs    *simplelru.LRU[string, int32] // of bases that were forgotten
}

// pastBases is how many bases that are gone are remembered by their epoch.
const pastBases = 10_000

// Identity is who a State is of.
type Identity struct {
	// Incarnation is the session.
	Incarnation string
	// Installation is the same for all members that know of each other, and another for
	// everybody else.
	Installation string
	// EnvOf gives a base's environment, by its key alone. It is pure. Nil: all bases are
	// of one.
	EnvOf func(key string) string
}

// NewState makes the state of a replica that is not a member yet.
func NewState(is Identity, t Timing) *State {
	name, _ := PodOf(is.Incarnation)
	epochs, err := simplelru.NewLRU[string, int32](pastBases, nil)
	if err != nil {
		panic(err) // pastBases is positive
	}
	if is.EnvOf == nil {
		is.EnvOf = func(string) string { return anyEnv }
	}
	return &State{
		Membership:   Membership{Timing: t.Complete(), Self: is.Incarnation, Name: name, members: members{}, ended: newEndedSessions()},
		installation: is.Installation, envOf: is.EnvOf,
		bases: map[string]*base{}, holds: holdings{}, epochs: epochs,
	}
}

// Drain has every base handed over by a time.
func (s *State) Drain(now, by time.Time) {
	s.draining, s.drainBy, s.assigned.stale = true, by, true
	s.leave(now, by)
	if m := s.members[s.Name]; m != nil {
		m.Draining = true
		s.regroup(now)
	}
}

// Request takes in that somebody here asks for a base. It says whether that is new.
// Exists says that the base has a Node.
func (s *State) Request(key string, exists bool, now time.Time) (first bool) {
	b := s.base(key, now)
	first = !b.requested
	b.requested, b.exists, b.retired = true, exists, false
	return first
}

func (s *State) base(key string, now time.Time) *base {
	b := s.bases[key]
	if b == nil {
		b = &base{named: named{key, xxhash.Sum64String(key)}, observed: observed{since: now}, env: s.envOf(key)}
		b.epoch, _ = s.epochs.Get(key)
		s.bases[key] = b
		s.assigned.changed()
	}
	return b
}

// Retire takes in that a base is gone.
func (s *State) Retire(key string) {
	if b := s.bases[key]; b != nil {
		b.retired, b.requested = true, false
	}
}

// Drained takes in that nothing is in flight on a base that is being handed over. It
// says whether that is new.
func (s *State) Drained(key string) (first bool) {
	b := s.bases[key]
	if b == nil || b.phase < Draining {
		return false
	}
	first = !b.handover.drained
	b.handover.drained = true
	return first
}

// Claim gives the right to act for a base, where it is held.
func (s *State) Claim(key string, now time.Time) (Claim, bool) {
	if !s.Held(key) || !s.Valid(now) {
		return Claim{}, false
	}
	b := s.bases[key]
	return Claim{Holder: s.Self, Epoch: b.epoch, Deadline: s.deadline, Since: s.actsSince, Phase: b.phase}, true
}

// Held says whether a base is ours, also while this replica may not act.
func (s *State) Held(key string) bool {
	b := s.bases[key]
	return b != nil && b.phase > Unowned && !b.retired
}

// Owned gives the bases whose Lease is ours, also those that are retired, and also
// while this replica may not act.
func (s *State) Owned() []string {
	var keys []string
	for key, b := range s.bases {
		if b.phase > Unowned {
			keys = append(keys, key)
		}
	}
	return keys
}

// OwnsAny says whether Owned would give any, or may: what became of a write that hands a
// base over is not known yet.
func (s *State) OwnsAny() bool {
	for _, b := range s.bases {
		if b.phase > Unowned || b.doubt.inFlight {
			return true
		}
	}
	return false
}

// Oldest gives how long ago the Lease changed, of those of the bases that are ours, that
// changed longest ago, and for how long the renewal is due that is due for longest; 0 for
// none.
func (s *State) Oldest(now time.Time) (age, overdue time.Duration) {
	for _, b := range s.bases {
		if b.phase == Unowned {
			continue
		}
		age, overdue = max(age, now.Sub(b.since)), max(overdue, now.Sub(b.due))
	}
	return age, overdue
}

// Bases gives all bases that are known, those whose Leases have not changed for longest
// first: of those that were seen at once, by what their owners wrote.
func (s *State) Bases() []string { return inOrder(slices.Collect(maps.Values(s.bases))) }

// Of gives those of some bases that are known, in the same order.
func (s *State) Of(keys []string) []string {
	known := make([]*base, 0, len(keys))
	for _, key := range keys {
		if b := s.bases[key]; b != nil {
			known = append(known, b)
		}
	}
	return inOrder(known)
}

// HeldBy gives the bases whose Leases are held by an incarnation, as they were seen last.
func (s *State) HeldBy(incarnation string) []string {
	return inOrder(slices.Collect(maps.Keys(s.holds[incarnation])))
}

func inOrder(bases []*base) []string {
	slices.SortFunc(bases, (*base).older)
	keys := make([]string, len(bases))
	for i, b := range bases {
		keys[i] = b.name
	}
	return keys
}

// observe takes in what a base's Lease is now, nil for none, and as it was deleted, nil where
// it was not or that is not known.
func (s *State) observe(b *base, lease, last *Lease) {
	was := b.holder()
	b.lease, b.last, b.absent = lease, last, b.absent && lease == nil
	if is := b.holder(); is != was {
		s.holds.remove(was, b)
		s.holds.add(is, b)
	}
}

// holdings are bases by who holds them; nobody's are left out.
type holdings map[string]map[*base]struct{}

func (h holdings) add(holder string, b *base) {
	switch {
	case holder == "":
		return
	case h[holder] == nil:
		h[holder] = map[*base]struct{}{}
	}
	h[holder][b] = struct{}{}
}

func (h holdings) remove(holder string, b *base) {
	delete(h[holder], b)
	if len(h[holder]) == 0 {
		delete(h, holder)
	}
}

// forget forgets a base that is gone, but for its epoch: if it comes back, what was
// sent to it before must be older.
func (s *State) forget(key string) {
	b := s.bases[key]
	if b == nil {
		return
	}
	s.withdraw(b)
	if b.epoch > 0 {
		s.epochs.Add(key, b.epoch)
	}
	s.observe(b, nil, nil)
	delete(s.bases, key)
	s.assigned.changed()
}
