package probes

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func TestTasksComeWhenTheyAreDue(t *testing.T) {
	q, l := queue{cfg: Config{Workers: 8, PerBase: 8}}, &lane{}
	late, soon, dropped := &task{lane: l}, &task{lane: l}, &task{lane: l}
	q.put(late, at(20))
	q.put(soon, at(10))
	q.put(dropped, at(5))
	q.put(soon, at(30)) // it is there already
	q.drop(dropped)
	if got, next := q.pick(at(9)); got != nil || !next.Equal(at(10)) {
		t.Fatalf("something is due too early, or next at %s", next)
	}
	if got, _ := q.pick(at(10)); got != soon {
		t.Fatal("what is due is not picked")
	}
	if got, next := q.pick(at(10)); got != nil || !next.Equal(at(20)) {
		t.Fatalf("something is picked twice, or next at %s", next)
	}
	if got, _ := q.pick(at(20)); got != late {
		t.Fatal("what is due is not picked")
	}
	if got, next := q.pick(at(99)); got != nil || !next.IsZero() {
		t.Fatal("an empty queue has something")
	}
}

// A base that hangs with a thousand probes has its share of the workers, and another's
// probe goes at once; its own go on as others end.
func TestABaseThatHangsDelaysNoOther(t *testing.T) {
	q := queue{cfg: Config{Workers: 64, PerBase: 16}}
	hog, other := &lane{}, &lane{}
	for range 1000 {
		q.put(&task{lane: hog}, at(0))
	}
	quick := &task{lane: other}
	q.put(quick, at(1))
	var flying []*task
	for {
		is, _ := q.pick(at(1))
		if is == nil {
			break
		}
		flying = append(flying, is)
	}
	if hog.flying != 16 || !slices.Contains(flying, quick) {
		t.Fatalf("%d of the hog fly; the other's flies: %t", hog.flying, slices.Contains(flying, quick))
	}
	done := 0
	for ; len(flying) > 0; done++ {
		q.landed(flying[0])
		flying = flying[1:]
		if next, _ := q.pick(at(1)); next != nil {
			flying = append(flying, next)
		}
	}
	if done != 1001 {
		t.Errorf("%d probes were made of 1001", done)
	}
}

// Where many bases hang, each keeps a share, and one is left for the next base.
func TestSharesShrink(t *testing.T) {
	q := queue{cfg: Config{Workers: 64, PerBase: 16}}
	lanes := make([]lane, 20)
	for n := range 20 * 100 {
		q.put(&task{lane: &lanes[n%20]}, at(n))
	}
	for is, _ := q.pick(at(9999)); is != nil; is, _ = q.pick(at(9999)) {
	}
	if q.flying < 40 {
		t.Errorf("%d of 64 workers are used", q.flying)
	}
	fresh := &task{lane: &lane{}}
	q.put(fresh, at(9999))
	if is, _ := q.pick(at(9999)); is != fresh {
		t.Fatalf("a base with nothing in flight has to wait; %d are", q.flying)
	}
}

// No more than the workers are in flight, and the next one goes when one has landed.
func TestWorkersAreBounded(t *testing.T) {
	q := queue{cfg: Config{Workers: 2, PerBase: 2}}
	for range 3 {
		q.put(&task{lane: &lane{}}, at(0))
	}
	first, _ := q.pick(at(0))
	q.pick(at(0))
	if third, next := q.pick(at(0)); third != nil || !next.IsZero() {
		t.Fatal("three are in flight at two workers")
	}
	q.landed(first)
	if third, _ := q.pick(at(0)); third == nil {
		t.Fatal("the third does not go")
	}
}

// Whatever comes, goes and is dropped: no task is in two places, none is lost, and no lane
// waits that has nothing in flight.
func TestTheQueueLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue{cfg: Config{Workers: rapid.IntRange(1, 8).Draw(t, "workers"), PerBase: rapid.IntRange(1, 4).Draw(t, "each")}}
		lanes := []*lane{{}, {}, {}}
		var all, inFlight []*task
		now := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0:
				is := &task{lane: lanes[rapid.IntRange(0, 2).Draw(t, "lane")]}
				q.put(is, at(now+rapid.IntRange(0, 3).Draw(t, "in")))
				all = append(all, is)
			case 1:
				if is, _ := q.pick(at(now)); is != nil {
					inFlight = append(inFlight, is)
				}
			case 2:
				if len(inFlight) > 0 {
					i := rapid.IntRange(0, len(inFlight)-1).Draw(t, "which")
					q.landed(inFlight[i])
					inFlight = slices.Delete(inFlight, i, i+1)
				}
			case 3:
				if len(all) > 0 {
					q.drop(all[rapid.IntRange(0, len(all)-1).Draw(t, "which")])
				}
			}
			now++
			checkQueue(t, &q, lanes, all, len(inFlight))
		}
	})
}

func checkQueue(t *rapid.T, q *queue, lanes []*lane, all []*task, inFlight int) {
	t.Helper()
	sum := 0
	for _, l := range lanes {
		sum += l.flying
		if l.flying > q.cfg.PerBase {
			t.Fatalf("a lane has %d in flight", l.flying)
		}
		due := func(is *task) bool { return is.lane == l }
		if l.flying == 0 && slices.ContainsFunc(l.parked, func(is *task) bool { return is.in == parked }) && !slices.ContainsFunc(q.order, due) {
			t.Fatal("a lane waits for nothing")
		}
	}
	if sum != q.flying || sum != inFlight {
		t.Fatalf("%d fly in lanes, %d in all, %d were picked", sum, q.flying, inFlight)
	}
	for _, is := range all {
		isOrdered := slices.Contains(q.order, is)
		if (is.in == ordered) != isOrdered || isOrdered && q.order[is.index] != is {
			t.Fatalf("a task is at %d, in the order: %t", is.in, isOrdered)
		}
	}
}
