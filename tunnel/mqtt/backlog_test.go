package mqtttunnel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"module-controller/tunnel/internal/arklet"
)

// messageOf makes the nth message of a base.
func messageOf(base, n int, kind arklet.Kind, size int) received {
	return received{base: id(base), kind: kind, topic: fmt.Sprintf("b%d#%d", base, n), payload: make([]byte, size)}
}

func topics(all []received) string {
	var names []string
	for _, m := range all {
		names = append(names, m.topic)
	}
	return strings.Join(names, " ")
}

// drain gives the topics of all that waits, in the order in which it is decoded.
func drain(b *backlog) string {
	var all []received
	for m, ok := b.next(); ok; m, ok = b.next() {
		all = append(all, m)
	}
	return topics(all)
}

// Each base has its turn, however much another has waiting, and those that are followed
// have every second one, however many others there are.
func TestBasesAreDecodedInTurn(t *testing.T) {
	b := newBacklog(maxFollowed, maxOthers)
	for n := range 4 {
		b.put(messageOf(1, n, arklet.KindAnswer, 10), laneFollowed)
	}
	for other := range 5 {
		b.put(messageOf(10+other, 0, arklet.KindHeart, 10), laneOthers)
	}
	b.put(messageOf(2, 0, arklet.KindList, 10), laneFollowed)
	want := "b1#0 b10#0 b2#0 b11#0 b1#1 b12#0 b1#2 b13#0 b1#3 b14#0"
	if got := drain(b); got != want {
		t.Errorf("decoded %s, want %s", got, want)
	}
}

// A base that sends more than can be decoded loses its own oldest reports; nobody else
// loses anything.
func TestABusyBaseLosesItsOwnReports(t *testing.T) {
	for name, c := range map[string]struct {
		messages, size int
		lost, kept     string
	}{
		"too many":                {18, 1, "b1#1 b1#2", "b1#0 b2#0 b1#3 b1#4 b1#5 b1#6 b1#7 b1#8 b1#9 b1#10 b1#11 b1#12 b1#13 b1#14 b1#15 b1#16 b1#17"},
		"too large":               {5, 300 << 10, "b1#1", "b1#0 b2#0 b1#2 b1#3 b1#4"},
		"one that fits by itself": {2, maxBaseBytes, "b1#1", "b1#0 b2#0"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBacklog(maxFollowed, maxOthers)
			b.put(messageOf(1, 0, arklet.KindHeart, 1), laneFollowed)
			b.put(messageOf(2, 0, arklet.KindList, 1), laneFollowed)
			var lost []received
			for n := 1; n < c.messages; n++ {
				overdrawn, crowded := b.put(messageOf(1, n, arklet.KindAnswer, c.size), laneFollowed)
				lost = append(append(lost, overdrawn...), crowded...)
			}
			if got := topics(lost); got != c.lost {
				t.Errorf("lost %s, want %s", got, c.lost)
			}
			if got := drain(b); got != c.kept {
				t.Errorf("kept %s, want %s", got, c.kept)
			}
		})
	}
}

// Where all together are too many, who has most waiting loses, and those that are followed
// lose nothing to others.
func TestACrowdedLaneHasTheLargestPay(t *testing.T) {
	b := newBacklog(maxFollowed, 1000)
	b.put(messageOf(1, 0, arklet.KindList, 5000), laneFollowed)
	for n := range 3 {
		b.put(messageOf(10+n, 0, arklet.KindHeart, 100), laneOthers)
	}
	b.put(messageOf(13, 0, arklet.KindHeart, 500), laneOthers)
	_, crowded := b.put(messageOf(14, 0, arklet.KindHeart, 400), laneOthers)
	if got := topics(crowded); got != "b13#0" {
		t.Errorf("lost %s, want b13#0", got)
	}
	if _, crowded = b.put(messageOf(15, 0, arklet.KindHeart, 2000), laneOthers); topics(crowded) != "b15#0" {
		t.Errorf("lost %s, want b15#0 itself", topics(crowded))
	}
	if got, want := drain(b), "b1#0 b10#0 b11#0 b12#0 b14#0"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	if diff := cmp.Diff([]int{0, 0, 0, 0}, []int{b.lanes[0].bytes, b.lanes[1].messages, len(b.byBase), len(b.lanes[1].waiting)}); diff != "" {
		t.Errorf("when it is empty (-want +got):\n%s", diff)
	}
}

// Of 20,000 identities that somebody invents, no more wait than there is room for.
func TestInventedIdentitiesTakeNoMoreRoom(t *testing.T) {
	b := newBacklog(maxFollowed, maxOthers)
	for n := range 20_000 {
		b.put(messageOf(n, 0, arklet.KindHeart, 300), laneOthers)
	}
	if got := len(b.byBase); got != maxMessages || b.lanes[laneOthers].messages != maxMessages {
		t.Errorf("%d bases and %d messages wait, want %d", got, b.lanes[laneOthers].messages, maxMessages)
	}
}

// Whatever comes: each message is decoded or lost, once; a base's in order; and no bound
// is exceeded.
func TestABacklogKeepsOrderAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 3 << 20
		b := newBacklog(most, most)
		fate := map[string]int{}
		last := map[int]int{}
		decoded := func(m received) {
			fate[m.topic]++
			var base, n int
			if _, err := fmt.Sscanf(m.topic, "b%d#%d", &base, &n); err != nil {
				t.Fatal(err)
			}
			if n <= last[base] {
				t.Fatalf("%s was decoded after %d", m.topic, last[base])
			}
			last[base] = n
		}
		kinds := []arklet.Kind{arklet.KindHeart, arklet.KindList}
		steps := rapid.IntRange(1, 120).Draw(t, "steps")
		for n := 1; n <= steps; n++ {
			if rapid.IntRange(0, 3).Draw(t, "decode") == 0 {
				if m, ok := b.next(); ok {
					decoded(m)
				}
			}
			m := messageOf(rapid.IntRange(0, 9).Draw(t, "base"), n, rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.IntRange(0, 400<<10).Draw(t, "size"))
			overdrawn, crowded := b.put(m, rapid.IntRange(0, lanes-1).Draw(t, "lane"))
			for _, lost := range append(overdrawn, crowded...) {
				fate[lost.topic]++
			}
			if fate[m.topic] == 0 {
				fate[m.topic] = 0
			}
			for n, l := range b.lanes {
				if l.bytes > most || l.messages > maxMessages {
					t.Fatalf("lane %d has %d bytes", n, l.bytes)
				}
			}
		}
		for m, ok := b.next(); ok; m, ok = b.next() {
			decoded(m)
		}
		for topic, n := range fate {
			if n != 1 {
				t.Fatalf("%s was decoded or lost %d times", topic, n)
			}
		}
		if len(fate) != steps || len(b.byBase) > 0 {
			t.Fatalf("%d of %d messages are accounted for, %d bases wait", len(fate), steps, len(b.byBase))
		}
	})
}
