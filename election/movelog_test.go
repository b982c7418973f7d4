package election

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"module-controller/shard"
)

// The last moves are remembered, and no more of them than that.
func TestTheLastMovesAreRemembered(t *testing.T) {
	for _, n := range []int{0, 1, keepMoves, keepMoves + 1, 3*keepMoves + 7} {
		var l moveLog
		for i := range n {
			l.add(Move{Base: fmt.Sprint(i)})
		}
		all := l.newestFirst()
		if len(all) != min(n, keepMoves) {
			t.Fatalf("of %d: %d are remembered", n, len(all))
		}
		for i, m := range all {
			if want := fmt.Sprint(n - 1 - i); m.Base != want {
				t.Errorf("of %d: at %d is %s, want %s", n, i, m.Base, want)
			}
		}
	}
}

// movesOf are the moves of a base in which a member took part, as "how other: why", the
// newest first.
func movesOf(p *process, base string) (moves []string) {
	for _, m := range p.replica.Moves() {
		if m.Base == base {
			moves = append(moves, m.How+" "+m.Other+": "+m.Why)
		}
	}
	return moves
}

// ownerOf is the process that holds a base; nil for none.
func (w *world) ownerOf(base string) *process {
	holder, _ := w.store.holder(leaseKey(base))
	for _, p := range w.processes {
		if p.incarnation == holder {
			return p
		}
	}
	return nil
}

// begins says whether the newest of moves begins with a text.
func begins(moves []string, with string) bool {
	return len(moves) > 0 && strings.HasPrefix(moves[0], with)
}

// A member tells by whom and why each of its bases came to it or left it.
func TestAMoveTellsWhy(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 3)
		defer w.end()
		was := w.processes[0]
		base := w.held(was)[0]
		if moves := movesOf(was, base); !strings.HasPrefix(moves[len(moves)-1], "claimed : the base is new") && !strings.HasPrefix(moves[len(moves)-1], "received ") {
			t.Errorf("at first: %q", moves)
		}
		was.replica.Linked(false) // it hands over
		w.wait(20 * time.Second)
		to := w.ownerOf(base)
		if to == nil || to == was {
			t.Fatalf("%s was not handed over", base)
		}
		if moves := movesOf(was, base); !begins(moves, "transferred "+to.pod+": a tunnel of this member is down") {
			t.Errorf("who handed over: %q", moves)
		}
		if moves := movesOf(to, base); !begins(moves, "received "+was.pod+": its owner handed it over") {
			t.Errorf("who was given it: %q", moves)
		}
		to.kill()
		w.wait(30 * time.Second)
		heir := w.ownerOf(base)
		if heir == nil || heir == to {
			t.Fatalf("%s has no heir", base)
		}
		if moves := movesOf(heir, base); !begins(moves, "claimed "+to.pod+": "+to.pod+" did not renew its membership, and was expired by mc-") {
			t.Errorf("who claimed it: %q", moves)
		}
		w.usurp(leaseKey(base), true)
		w.wait(time.Second)
		if moves := movesOf(heir, base); !begins(moves, "lost "+stranger+": somebody else wrote its Lease") {
			t.Errorf("who lost it: %q", moves)
		}
	})
}

// What is known of Leases is given as it is.
func TestWhatIsSeen(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 3)
		defer w.end()
		members, bases := w.processes[0].replica.Seen()
		if len(members) != len(w.processes) || len(bases) != len(w.names) {
			t.Errorf("%d members and %d bases are seen, want %d and %d", len(members), len(bases), len(w.processes), len(w.names))
		}
		for _, l := range bases {
			if _, member := shard.PodOf(holderOf(l)); !member {
				t.Errorf("%s is seen as %q's", l.Name, holderOf(l))
			}
		}
	})
}
