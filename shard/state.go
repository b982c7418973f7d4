package shard

import (
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

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
	lease     *Lease    // nil where there is none
	last      *Lease    // as it was deleted, where that is known
	since     time.Time // it was first seen as it is
	epoch     int32     // the highest that was seen
	latest    time.Time // the latest renew time that was seen
	requested bool      // somebody here asked for it
	known     bool      // it has a Node
	retire    bool      // it is no more

	held    bool
	tried   int32     // the epoch that our own claim in doubt would give
	doubt   bool      // a write of ours may or may not have happened
	proof   bool      // it would give the base away: ours again after another write
	edited  bool      // somebody took our name out, and put none in or did not move the renew time
	due     time.Time // of the renewal
	leaving time.Time // since when it is being handed over; zero for not
	ending  time.Time // since when it is handed over whatever is under way; zero for not
	drained bool      // nothing is in flight on it
	giving  *Step     // what may give the Lease away as it was seen last; nil for nothing
	later   time.Time // when it may be tried again to hand it over
	slot    time.Time // when it may be moved to a live member; zero while it is at home
	planned string    // who should have it, as it was when it was looked at last
	shifted time.Time // since when that one should, as far as was looked
}

func (b *base) phase() Phase {
	switch {
	case !b.ending.IsZero():
		return Forced
	case !b.leaving.IsZero():
		return Draining
	case b.held:
		return Owned
	default:
		return Unowned
	}
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
	s.until = sent.Add(s.RenewDeadline)
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
func (s *State) Expire() { s.until = time.Time{} }

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
func (s *State) Request(key string, known bool, now time.Time) (fresh bool) {
	b := s.base(key, now)
	fresh = !b.requested
	b.requested, b.known, b.retire = true, known, false
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
		b.retire, b.requested = true, false
	}
}

// Drained takes in that nothing is in flight on a base that is being handed over.
func (s *State) Drained(key string) (fresh bool) {
	b := s.bases[key]
	if b == nil || b.phase() < Draining || b.drained {
		return false
	}
	b.drained = true
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
		deadline = now.Add(s.RenewDeadline)
	}
	return Claim{Holder: s.Self, Epoch: b.epoch, Deadline: deadline, Since: s.since, Phase: b.phase()}, true
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
