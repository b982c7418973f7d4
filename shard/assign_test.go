package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

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

// Where nobody is full, only the newcomer gains, and seen the other way round, only
// the leaver's bases move.
func TestOnlyTheNewcomerGains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.String().Draw(t, "base")
		members := rapid.SliceOfNDistinct(rapid.StringN(1, 6, -1), 1, 8, rapid.ID[string]).Draw(t, "members")
		newcomer := rapid.StringN(7, 9, -1).Draw(t, "newcomer")
		was, is := First(base, members), First(base, append(slices.Clone(members), newcomer))
		if is != was && is != newcomer {
			t.Fatalf("%q moves from %q to %q when %q joins", base, was, is, newcomer)
		}
	})
}

// The bars: 300 bases within 1.15 times the mean and 1.25 times the least possible
// moves, 500 bases a member and more within 1.10 and 1.10.
func TestAssignMeasured(t *testing.T) {
	for _, c := range []struct {
		bases             int
		balance, movement float64
	}{{300, 1.15, 1.25}, {2500, 1.10, 1.10}} {
		rng := rand.New(rand.NewPCG(1, 2))
		var worstBalance, worstMoves float64
		for range 100 {
			bases, members := someFleet(rng, c.bases, 5)
			was, n := Assign(bases, members[:1]), 1
			moves, least := 0, 0.0
			for _, next := range []int{3, 5, 2} {
				is := Assign(bases, members[:next])
				worstBalance = max(worstBalance, share(is, members[:next]))
				moves += moved(was, is)
				least += float64(c.bases) * float64(max(n, next)-min(n, next)) / float64(max(n, next))
				was, n = is, next
			}
			worstMoves = max(worstMoves, float64(moves)/least)
		}
		t.Logf("%d bases on 1, 3, 5, 2 members, the worst of 100 fleets: fullest %.3f of the mean, moves %.3f of the least possible", c.bases, worstBalance, worstMoves)
		if worstBalance > c.balance || worstMoves > c.movement {
			t.Errorf("want at most %.2f and %.2f", c.balance, c.movement)
		}
	}
}

func TestAHundredThousandBasesOnFiftyMembers(t *testing.T) {
	bases, members := names("base", 100_000), names("mc", 50)
	owner := Assign(bases, members)
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
