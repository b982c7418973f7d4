package shard

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}

// someFleet is a fleet whose names were never seen before.
func someFleet(rng *rand.Rand, bases, members int) (b, m []string) {
	salt := fmt.Sprint(rng.Uint64())
	return names("base-"+salt, bases), names("mc-"+salt, members)
}

func share(owner map[string]string, members []string) (fullest float64) {
	load := map[string]int{}
	for _, m := range owner {
		load[m]++
	}
	for _, n := range load {
		fullest = max(fullest, float64(n)*float64(len(members))/float64(len(owner)))
	}
	return fullest
}

func moved(a, b map[string]string) (n int) {
	for base, m := range a {
		if b[base] != m {
			n++
		}
	}
	return n
}

func TestEveryBaseIsAssignedWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bases := rapid.SliceOfDistinct(rapid.StringN(1, 12, -1), rapid.ID[string]).Draw(t, "bases")
		members := rapid.SliceOfNDistinct(rapid.StringN(1, 6, -1), 1, 8, rapid.ID[string]).Draw(t, "members")
		owner := Assign(bases, members)
		if len(owner) != len(bases) {
			t.Fatalf("%d of %d bases are assigned", len(owner), len(bases))
		}
		for base, m := range owner {
			if !slices.Contains(members, m) {
				t.Fatalf("%s is assigned to %q, who is no member", base, m)
			}
		}
		otherwise := Assign(rapid.Permutation(bases).Draw(t, "bases again"), rapid.Permutation(members).Draw(t, "members again"))
		if n := moved(owner, otherwise); n != 0 {
			t.Fatalf("%d bases are assigned otherwise in another order", n)
		}
	})
	if owner := Assign(names("b", 3), nil); len(owner) != 0 {
		t.Errorf("without members: %v", owner)
	}
}

// plain is Assign without a cap: the dumb twin.
func plain(bases, members []string) map[string]string {
	owner := make(map[string]string, len(bases))
	for _, b := range bases {
		owner[b] = First(b, members)
	}
	return owner
}

// fleet draws one, in which often nobody is full, and often somebody.
func fleet(t *rapid.T) (bases, members []string) {
	salt := rapid.Uint32().Draw(t, "salt")
	n := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(1000, 4000)).Draw(t, "bases")
	m := rapid.IntRange(2, 7).Draw(t, "members")
	return names(fmt.Sprint("base-", salt), n), names(fmt.Sprint("mc-", salt), m)
}

// room is what one member serves at most.
func room(bases, members []string) int {
	return max(len(bases)*110/100/len(members), (len(bases)+len(members)-1)/len(members))
}

// above is how many bases plain rendezvous hashing gives to members that have no room
// for them.
func above(bases, members []string) (n int) {
	load := map[string]int{}
	for _, m := range plain(bases, members) {
		if load[m]++; load[m] > room(bases, members) {
			n++
		}
	}
	return n
}

// Where nobody is full, only the newcomer gains, and seen the other way round, only
// the leaver's bases move. With the cap others exchange some, for each base that is
// above it, before or after, at most one with each member.
func TestOnlyTheNewcomerGains(t *testing.T) {
	var free, capped int
	rapid.Check(t, func(t *rapid.T) {
		bases, members := fleet(t)
		few, newcomer := members[1:], members[0]
		was, is := Assign(bases, few), Assign(bases, members)
		between := moved(was, is) - len(owned(is, newcomer))
		over := above(bases, few) + above(bases, members)
		if between > over*len(few) {
			t.Fatalf("%d bases move between others than %s, though only %d were above the cap", between, newcomer, over)
		}
		if over > 0 {
			capped++
		} else {
			free++
		}
	})
	t.Logf("nobody was full in %d fleets, somebody in %d", free, capped)
	if free == 0 || capped == 0 {
		t.Error("one of them was not tried")
	}
}

// Who has room for all that choose him first gets them, and nobody has more than the
// cap.
func TestTheCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bases, members := fleet(t)
		owner := Assign(bases, members)
		if n, over := moved(owner, plain(bases, members)), above(bases, members); n > over*(len(members)-1) {
			t.Fatalf("%d bases are not with their first choice, though only %d were above the cap", n, over)
		}
		for _, m := range members {
			if n := len(owned(owner, m)); n > room(bases, members) {
				t.Fatalf("%s has %d of %d bases", m, n, len(bases))
			}
		}
	})
}

func owned(owner map[string]string, member string) (bases []string) {
	for b, m := range owner {
		if m == member {
			bases = append(bases, b)
		}
	}
	return bases
}

// measured is what an assignment does to some fleets: the fullest member of the mean,
// the moves of the least possible, and the share of bases about which two views
// disagree where one knows a member more, or a hundredth of the bases more.
type measured struct{ fullest, moves, member, base []float64 }

func (m *measured) add(assign func(bases, members []string) map[string]string, bases, members []string) {
	was, n := assign(bases, members[:1]), 1
	moves, least := 0, 0.0
	for _, next := range []int{3, 5, 2} {
		is := assign(bases, members[:next])
		moves += moved(was, is)
		least += float64(len(bases)) * float64(max(n, next)-min(n, next)) / float64(max(n, next))
		was, n = is, next
	}
	m.moves = append(m.moves, float64(moves)/least)
	all, known := assign(bases, members), bases[:len(bases)-len(bases)/100]
	m.fullest = append(m.fullest, share(all, members))
	m.member = append(m.member, float64(moved(all, assign(bases, members[1:])))/float64(len(bases)))
	m.base = append(m.base, float64(moved(assign(known, members), all))/float64(len(known)))
}

func middle(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }

func (m *measured) String() string {
	return fmt.Sprintf("fullest %.2f of the mean, worst %.2f; moves %.2f of the least possible, worst %.2f; "+
		"two views disagree about %.1f%%, worst %.1f%%, where they differ by a member, and about %.1f%%, worst %.1f%%, where by a hundredth of the bases",
		middle(m.fullest), slices.Max(m.fullest), middle(m.moves), slices.Max(m.moves),
		100*middle(m.member), 100*slices.Max(m.member), 100*middle(m.base), 100*slices.Max(m.base))
}

// The bars: 300 bases within 1.15 times the mean and 1.25 times the least possible
// moves, 500 bases a member and more within 1.10 and 1.10. Beside it, what plain
// rendezvous hashing does to the same fleets.
func TestAssignMeasured(t *testing.T) {
	for _, c := range []struct {
		bases             int
		balance, movement float64
	}{{300, 1.15, 1.25}, {2500, 1.10, 1.10}} {
		rng := rand.New(rand.NewPCG(1, 2))
		var capped, uncapped measured
		for range 100 {
			bases, members := someFleet(rng, c.bases, 5)
			capped.add(Assign, bases, members)
			uncapped.add(plain, bases, members)
		}
		t.Logf("%d bases on 5 members, moved from 1 to 3, 5 and 2, the median of 100 fleets\ncapped: %s\nplain: %s", c.bases, &capped, &uncapped)
		if worst := slices.Max(capped.fullest); worst > c.balance {
			t.Errorf("fullest %.3f, want at most %.2f", worst, c.balance)
		}
		if worst := slices.Max(capped.moves); worst > c.movement {
			t.Errorf("moves %.3f, want at most %.2f", worst, c.movement)
		}
	}
}

func TestAHundredThousandBasesOnFiftyMembers(t *testing.T) {
	bases, members := names("base", 100_000), names("mc", 50)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	owner := Assign(bases, members)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("it took %s and %.1f MB", took.Round(time.Millisecond), float64(after.TotalAlloc-before.TotalAlloc)/1e6)
	if s := share(owner, members); len(owner) != len(bases) || s > fullest {
		t.Errorf("%d bases, fullest %.3f", len(owner), s)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, c := range []struct{ bases, members int }{{300, 3}, {10_000, 5}, {100_000, 50}} {
		bases, members := names("base", c.bases), names("mc", c.members)
		b.Run(fmt.Sprintf("%d_bases_%d_members", c.bases, c.members), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Assign(bases, members)
			}
		})
	}
}
