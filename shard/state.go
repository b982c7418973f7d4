package shard

import (
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Lease is a base's Lease as it was seen.
type Lease struct {
	// Holder is the incarnation that owns the base, or what somebody else wrote.
	Holder string
	// Epoch is leaseTransitions.
	Epoch int32
	// Revision is the resource version; it only grows.
	Revision uint64
	// Released says that there is no Holder because the one before wrote so.
	Released bool
	// Given says that the holder was named by the one before, and has not acted yet.
	Given bool
	// Renewed is renewTime, by the clock of who wrote it: compared, never
	// subtracted from our own.
	Renewed time.Time
	// Duration is what the holder promises to renew within.
	Duration time.Duration
}

// State is what one replica knows of members and bases. It is not safe for
// concurrent use. Bases are named by their Lease's name.
type State struct {
	Timing
	// Self is this replica's incarnation, Name its pod.
	Self, Name string

	until  time.Time // what our own last membership write permits
	since  time.Time // since when it does without a break
	joined time.Time // when we became a member
	clear  time.Time // since when our own writes succeed without a break
	broken bool      // the last membership write failed

	members   map[string]*member
	ended     map[string]time.Time // incarnations that live no more: silent since or from then on
	team      []string             // who may be given bases, in order
	teamSince time.Time

	draining bool
	bases    map[string]*base
	wish     map[string]string // the Assignment; valid unless stale
	home     map[string]string // while draining: the Assignment as it is when we are back
	stale    bool
	wishedAt time.Time
	nextMove time.Time                     // the next slot to be given
	past     *simplelru.LRU[string, int32] // the epochs of bases that are no more
}

// base is what is known of one base.
type base struct {
	lease  *Lease    // nil where there is none
	last   *Lease    // as it was deleted, where that is known
	since  time.Time // it was first seen as it is
	epoch  int32     // the highest that was seen
	latest time.Time // the latest renew time that was seen
	wished bool      // somebody here asked for it
	known  bool      // it has a Node
	retire bool      // it is no more

	held    bool
	tried   int32     // the epoch that our own claim in doubt would give
	doubt   bool      // a write of ours may or may not have happened
	proof   bool      // it would give the base away: ours again after another write
	edited  bool      // somebody took our name out, and put none in or did not move the renew time
	due     time.Time // of the renewal
	leaving time.Time // since when it is being handed over; zero for not
	yielded bool      // nothing is under way on it
	later   time.Time // when it may be tried again to hand it over
	slot    time.Time // when it may be moved to a live member; zero while it is at home
}

// NewState makes the state of a replica that is not a member yet.
func NewState(self string, t Timing) *State {
	name, _ := PodOf(self)
	past, err := simplelru.NewLRU[string, int32](pastBases, nil)
	if err != nil {
		panic(err) // pastBases is positive
	}
	return &State{
		Timing: t.Complete(), Self: self, Name: name, members: map[string]*member{}, ended: map[string]time.Time{},
		bases: map[string]*base{}, wish: map[string]string{}, past: past,
	}
}

// Valid says whether this replica may act at all.
func (s *State) Valid(now time.Time) bool {
	return now.Before(s.until) || Without("check-before-write") && !s.until.IsZero()
}

// Until is when this replica's right to act ends.
func (s *State) Until() time.Time { return s.until }

// Renewed takes in that a membership write succeeded that was sent at a time. It
// says whether the replica may act again that could not.
func (s *State) Renewed(sent, now time.Time) (again bool) {
	if Without("deadline-from-send") {
		sent = now
	}
	again = !s.Valid(now)
	s.until = sent.Add(s.Act)
	if again {
		s.since = now
	}
	if s.joined.IsZero() {
		s.joined = now
	}
	if s.broken || s.clear.IsZero() {
		s.broken, s.clear = false, now
	}
	return again && s.Valid(now)
}

// Interrupted takes in that a membership write failed.
func (s *State) Interrupted() { s.broken = true }

// Silence ends the right to act: this incarnation lives no more.
func (s *State) Silence() { s.until = time.Time{} }

// Drain has every base handed over.
func (s *State) Drain(now time.Time) {
	s.draining, s.stale = true, true
	if m := s.members[s.Name]; m != nil {
		m.Draining = true
		s.regroup(now)
	}
}

// Wish takes in that somebody here asks for a base. It says whether that is new.
// Known says that the base has a Node.
func (s *State) Wish(key string, known bool, now time.Time) (fresh bool) {
	b := s.base(key, now)
	fresh = !b.wished
	b.wished, b.known, b.retire = true, known, false
	return fresh
}

func (s *State) base(key string, now time.Time) *base {
	b := s.bases[key]
	if b == nil {
		b = &base{since: now}
		b.epoch, _ = s.past.Get(key)
		s.bases[key], s.stale = b, true
	}
	return b
}

// Retire takes in that a base is no more.
func (s *State) Retire(key string) {
	if b := s.bases[key]; b != nil {
		b.retire, b.wished = true, false
	}
}

// Yielded takes in that nothing is under way on a base that is being handed over.
func (s *State) Yielded(key string) (fresh bool) {
	b := s.bases[key]
	if b == nil || b.leaving.IsZero() || b.yielded {
		return false
	}
	b.yielded = true
	return true
}

// Held gives the bases that are held, whether or not this replica may act now.
func (s *State) Held() []string {
	var keys []string
	for key, b := range s.bases {
		if b.held {
			keys = append(keys, key)
		}
	}
	return keys
}

// Claim gives the right to act for a base, where it is held.
func (s *State) Claim(key string, now time.Time) (Claim, bool) {
	b := s.bases[key]
	if b == nil || !b.held || b.retire || !s.Valid(now) {
		return Claim{}, false
	}
	deadline := s.until
	if Without("check-before-write") {
		deadline = now.Add(s.Act)
	}
	return Claim{Holder: s.Self, Epoch: b.epoch, Deadline: deadline, Since: s.since, Leaving: !b.leaving.IsZero()}, true
}

// Holds says whether a base is held, whether or not this replica may act now.
func (s *State) Holds(key string) bool {
	b := s.bases[key]
	return b != nil && b.held && !b.retire
}

// HoldsAny says whether any base is held.
func (s *State) HoldsAny() bool {
	for _, b := range s.bases {
		if b.held {
			return true
		}
	}
	return false
}

// SeeBase takes in a base's Lease, from a watch, a read or the answer to a write.
// It says whether a claim was lost by it.
func (s *State) SeeBase(key string, l Lease, now time.Time) (lost bool) {
	b := s.base(key, now)
	if b.lease != nil && l.Revision < b.lease.Revision {
		return false
	}
	if b.lease == nil || l.Revision != b.lease.Revision {
		b.since = now
		b.proof = false // what a write of ours in doubt compares with is no more
		b.edited = b.edited && b.lease != nil && l.Renewed.Equal(b.lease.Renewed)
	}
	if l.Holder != s.Self && b.held {
		b.edited = b.lease != nil && !l.Given && (l.Renewed.Equal(b.lease.Renewed) || l.Holder == "" && !l.Released)
		lost = true
		b.drop()
	}
	if l.Holder == s.Self && b.held && l.Epoch < b.epoch {
		l.Epoch = b.epoch // edited by hand; the next renewal puts it right
	}
	b.lease, b.epoch = &l, max(b.epoch, l.Epoch)
	b.latest = later(b.latest, l.Renewed)
	return lost
}

func (b *base) drop() { b.held, b.leaving, b.yielded = false, time.Time{}, false }

// BaseGone takes in that a base has no Lease. Revision is that of the deletion, 0
// where a read found none. Last is the Lease as it was deleted, nil where that is not
// known.
func (s *State) BaseGone(key string, revision uint64, last *Lease, now time.Time) {
	b := s.bases[key]
	if b == nil || revision != 0 && b.lease != nil && revision < b.lease.Revision {
		return
	}
	dead := false
	if b.last = last; last != nil {
		b.epoch, b.latest = max(b.epoch, last.Epoch), later(b.latest, last.Renewed)
		_, dead = s.ended[last.Holder]
	}
	if b.lease != nil {
		b.since = now
		if !b.held && !dead {
			b.wished = false // whoever retired it knows best; a sign of life wishes again
		}
	}
	b.lease, b.doubt, b.tried = nil, false, 0
	if !b.wished && !b.held {
		s.forget(key)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// forget forgets a base that is no more, but for its epoch: if it comes back, what was
// sent to it before must be older.
func (s *State) forget(key string) {
	if b := s.bases[key]; b != nil && b.epoch > 0 {
		s.past.Add(key, b.epoch)
	}
	delete(s.bases, key)
	s.stale = true
}

// pastBases is how many bases that are no more are remembered.
const pastBases = 10_000

// Bases gives the names of all bases that are known, those renewed longest ago
// first.
func (s *State) Bases() []string {
	return slices.SortedFunc(maps.Keys(s.bases), func(a, b string) int {
		return s.bases[a].due.Compare(s.bases[b].due)
	})
}

// Census counts what a replica holds and should hold.
type Census struct {
	// Held are the bases that it holds, Wanted those that it should hold, Away those
	// that it holds and that should be another's.
	Held, Wanted, Away int
	// Members are the replicas that live.
	Members int
}

// Count counts.
func (s *State) Count(now time.Time) (c Census) {
	s.rewish(now)
	for key, b := range s.bases {
		wanted := s.wanted(key, now)
		switch {
		case b.held && wanted != s.Name:
			c.Away++
			c.Held++
		case b.held:
			c.Held++
		}
		if wanted == s.Name {
			c.Wanted++
		}
	}
	for _, m := range s.members {
		if m.Holder != "" {
			c.Members++
		}
	}
	return c
}

// Owner gives the member that a base's heartbeat should be passed on to: the one
// that holds it, or that should where nobody does.
func (s *State) Owner(key string, now time.Time) (Member, bool) {
	name := s.wanted(key, now)
	if b := s.bases[key]; b != nil && b.lease != nil {
		if pod, ok := PodOf(b.lease.Holder); ok && s.members[pod] != nil && s.members[pod].Holder == b.lease.Holder {
			name = pod
		}
	}
	m := s.members[name]
	if m == nil || m.Holder == "" {
		return Member{}, false
	}
	return m.Member, true
}

// rewishEvery bounds how often the assignment is worked out while bases come and
// go. Until then a new base is wished for by its first choice.
const rewishEvery = 200 * time.Millisecond

func (s *State) rewish(now time.Time) {
	if s.stale && (now.Sub(s.wishedAt) >= rewishEvery || !s.teamSince.Before(s.wishedAt)) {
		s.wish = Assign(slices.Collect(maps.Keys(s.bases)), s.team)
		if s.draining {
			s.home = Assign(slices.Collect(maps.Keys(s.bases)), append(slices.Clone(s.team), s.Name))
		}
		s.wishedAt, s.stale = now, false
	}
}

// wanted is the member that should own a base; "" for nobody.
func (s *State) wanted(key string, now time.Time) string {
	s.rewish(now)
	if name, ok := s.wish[key]; ok {
		return name
	}
	return First(key, s.team)
}
