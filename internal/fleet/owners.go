package fleet

import (
	"maps"
	"slices"
	"time"

	"module-controller/shard"
)

// Owner is the live member whose session holds a base's Lease; nil where none does. It is
// sought among the members of the installation that wrote the Lease.
func (s *Snapshot) Owner(b *Base) *Member {
	if b.Lease == nil || b.Lease.Holder == "" {
		return nil
	}
	of := s.Members
	if i := b.Lease.Installation; i != "" && i != s.Namespace {
		of = s.Others
	}
	for i := range of {
		if of[i].Holder == b.Lease.Holder {
			return &of[i]
		}
	}
	return nil
}

// Live are the members that hold their Leases.
func (s *Snapshot) Live() []Member {
	return slices.DeleteFunc(slices.Clone(s.Members), func(m Member) bool { return m.Holder == "" })
}

// Served are the environments that live members serve. All says that one of them, of a
// version that does not say which, serves every one.
func (s *Snapshot) Served() (envs []string, all bool) {
	for _, m := range s.Live() {
		all = all || m.Serves == nil
		envs = append(envs, m.Serves...)
	}
	slices.Sort(envs)
	return slices.Compact(envs), all
}

// Serves says whether a live member serves an environment.
func (s *Snapshot) Serves(env string) bool {
	envs, all := s.Served()
	return all || slices.Contains(envs, env)
}

// ServedBy is a live member of another installation that serves an environment; nil for none.
func (s *Snapshot) ServedBy(env string) *Member {
	for i := range s.Others {
		if m := &s.Others[i]; m.Holder != "" && (m.Serves == nil || slices.Contains(m.Serves, env)) {
			return m
		}
	}
	return nil
}

// Elsewhere says of a base that it is another installation's, in whose environment no
// member of this one takes part: nothing of it is our concern.
func (s *Snapshot) Elsewhere(b *Base) bool {
	return b.Lease != nil && b.Lease.Installation != "" && b.Lease.Installation != s.Namespace && !s.Serves(b.ID.Env)
}

// Foreign says whether a base's Lease is of another installation or another controller. One
// that another controller took from us has our labels still.
func (s *Snapshot) Foreign(b *Base) bool {
	switch l := b.Lease; {
	case l == nil:
		return false
	case l.Installation != "" && l.Installation != s.Namespace:
		return true
	case l.Holder == "":
		return false
	default:
		_, replica := shard.PodOf(l.Holder)
		return !replica
	}
}

// Move is a base that should be owned by another member than it is.
type Move struct {
	Base string `json:"base"`
	From string `json:"from"` // empty for nobody
	To   string `json:"to"`
}

// Moves are what members would come to if nothing else changed: who should own which base,
// where somebody else does. Bases of others, and those that no member serves, stay.
func (s *Snapshot) Moves() (moves []Move) {
	should := s.Assigned()
	for _, b := range s.Bases {
		from, to := "", should[b.Name]
		if m := s.Owner(b); m != nil {
			from = m.Name
		}
		if to != "" && to != from && !s.Foreign(b) {
			moves = append(moves, Move{b.Name, from, to})
		}
	}
	return moves
}

// Assigned is the member that should own each base, as members work it out.
func (s *Snapshot) Assigned() map[string]string {
	all := s.shardMembers()
	byEnv := map[string][]string{}
	for _, b := range s.Bases {
		if !s.Elsewhere(b) {
			byEnv[b.ID.Env] = append(byEnv[b.ID.Env], b.Name)
		}
	}
	should := map[string]string{}
	for env, names := range byEnv {
		maps.Copy(should, shard.Assign(names, shard.Able(all, env)))
	}
	for base, to := range s.pins() {
		if _, known := should[base]; known {
			should[base] = to
		}
	}
	return should
}

func (s *Snapshot) shardMembers() (all []shard.Member) {
	for _, m := range s.Members {
		all = append(all, m.Member)
	}
	return all
}

// Owned are the bases that a member of this installation owns, in order.
func (s *Snapshot) Owned(m Member) (owned []*Base) {
	for _, b := range s.Bases {
		if m.Holder != "" && b.Lease != nil && b.Lease.Holder == m.Holder && !s.Foreign(b) {
			owned = append(owned, b)
		}
	}
	return owned
}

// Balance compares what members own.
type Balance struct {
	// Least and Most are how many bases a live member owns; Fair is how many each would.
	Least int `json:"least"`
	Most  int `json:"most"`
	Fair  int `json:"fair"`
}

// Balance is that of the live members that neither drain nor are cordoned.
func (s *Snapshot) Balance() Balance {
	var counts []int
	sum := 0
	for _, m := range s.Live() {
		if !m.Draining && !m.Cordoned {
			n := len(s.Owned(m))
			counts, sum = append(counts, n), sum+n
		}
	}
	if len(counts) == 0 {
		return Balance{}
	}
	return Balance{Least: slices.Min(counts), Most: slices.Max(counts), Fair: (sum + len(counts) - 1) / len(counts)}
}

// Heartbeat is when any member was seen to live last, by members' own clocks; zero for never.
func (s *Snapshot) Heartbeat() (last time.Time) {
	for _, m := range s.Live() {
		if m.Renewed.After(last) {
			last = m.Renewed
		}
	}
	return last
}

// Silence is how long a member has not renewed its Lease: by the clock of the member that
// renewed last, so that the clock of whoever looks does not count, and by the API server's
// where all are silent for longer than clocks differ.
func (s *Snapshot) Silence(m Member) time.Duration {
	byOthers := s.Heartbeat().Sub(m.Renewed)
	if byServer := s.At.Sub(m.Renewed); byServer > clocksDiffer {
		return max(byOthers, byServer)
	}
	return max(byOthers, 0)
}

// clocksDiffer is by how much the clocks of sound machines are believed to differ at most.
const clocksDiffer = time.Minute

// Late is how long the Lease of an owned base was not renewed, by its owner's own clock; 0
// where it has no owner.
func (s *Snapshot) Late(b *Base) time.Duration {
	m := s.Owner(b)
	if m == nil {
		return 0
	}
	return max(m.Renewed.Sub(b.Lease.Renewed), 0)
}
