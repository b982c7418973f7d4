package shard

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// fullest is how many times the mean one member serves at most.
const fullest = 1.10

// Assign gives the member that should serve each base. It depends on the two sets
// alone, not on their order. Each base goes to the member with the highest weight
// for it (rendezvous hashing) that is not full; bases choose in the order of their
// hash. Where nobody is full, only a newcomer gains and only a leaver's bases move.
// With the cap, for each base that would be above it, before or after, others exchange
// at most as many as there are members.
//
// Rejected: no cap. 300 bases on 5 members then come out at 1.15 times the mean in
// the median of a hundred fleets and 1.32 in the worst; with it at 1.10 in both. The
// moves are within 1.08 times the least possible either way. What the cap costs: two
// members that know different bases assign others differently too, 1% of them
// in the worst fleet where one knows 1% more. Where one knows a member more, they
// differ about 21% instead of 20% (TestAssignMeasured).
func Assign(bases, members []string) map[string]string {
	owner := make(map[string]string, len(bases))
	choose(hashed(bases), members, func(b named) uint64 { return b.hash }, func(b named, member string) { owner[b.name] = member })
	return owner
}

// choose has each base choose its member, in the order of the bases, which is that of their
// hashes. Without members nobody is chosen.
func choose[B any](bases []B, members []string, hash func(B) uint64, chosen func(b B, member string)) {
	if len(members) == 0 {
		return
	}
	seeds := hashed(members)
	room := max(int(fullest*float64(len(bases))/float64(len(members))), (len(bases)+len(members)-1)/len(members))
	load := make([]int, len(members))
	for _, b := range bases {
		best, weight := -1, uint64(0)
		for i, m := range seeds {
			if w := mix(hash(b), m.hash); load[i] < room && (best < 0 || w > weight) {
				best, weight = i, w
			}
		}
		load[best]++
		chosen(b, seeds[best].name)
	}
}

// First is the member with the highest weight for a base, full or not; "" where
// there is no member.
func First(base string, members []string) string {
	best, weight := "", uint64(0)
	for _, m := range members {
		w := mix(xxhash.Sum64String(base), xxhash.Sum64String(m))
		if best == "" || w > weight || w == weight && m < best {
			best, weight = m, w
		}
	}
	return best
}

type named struct {
	name string
	hash uint64
}

// hashed gives names in the order of their hashes.
func hashed(names []string) []named {
	all := make([]named, len(names))
	for i, n := range names {
		all[i] = named{n, xxhash.Sum64String(n)}
	}
	slices.SortFunc(all, named.compare)
	return all
}

func (a named) compare(b named) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.name, b.name))
}

// mix makes one weight of two hashes, with the finalizer of MurmurHash3.
func mix(a, b uint64) uint64 {
	x := a ^ b*0x9e3779b97f4a7c15
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
