package probes

import (
	"container/heap"
	"time"
)

// task is one probe that is made again and again. It is in one place at a time: in the
// queue's order, parked in its lane, in flight, or nowhere.
type task struct {
	*subject
	kind kind
	lane *lane
	at   time.Time // when it is due
	in   place
	// index is where it stands in the order.
	index  int
	told   telling
	quoted quoted // of its flight
}

// place is where a task is.
type place int

const (
	nowhere place = iota
	ordered
	parked
	flying
)

// lane is one base's share of the workers.
type lane struct {
	flying int
	// parked are due but have no room. Where there are any, others are in flight or are due
	// in the order.
	parked []*task
}

// queue has the tasks in the order in which they are due. It has no lock and no clock.
type queue struct {
	cfg    Config
	order  order
	flying int
	active int // lanes of which some are in flight
}

// put has a task be done at a time. One that is in the queue already stays.
func (q *queue) put(t *task, at time.Time) {
	if t.in != nowhere {
		return
	}
	t.at, t.in = at, ordered
	heap.Push(&q.order, t)
}

// drop takes a task out. One that is in flight is not put back by itself.
func (q *queue) drop(t *task) {
	switch t.in {
	case ordered:
		heap.Remove(&q.order, t.index)
		t.in = nowhere
		q.unpark(t.lane) // it may be what they waited for
	case parked: // where it is skipped
		t.in = nowhere
	case flying, nowhere:
	}
}

// pick gives a task that is due and has room, which is in flight then. Where there is none
// it gives nil, and when the next one is due; zero for none before one has landed.
func (q *queue) pick(now time.Time) (*task, time.Time) {
	for len(q.order) > 0 && q.flying < q.cfg.Workers {
		first := q.order[0]
		if first.at.After(now) {
			return nil, first.at
		}
		heap.Pop(&q.order)
		if q.room(first.lane) == 0 {
			first.in = parked
			first.lane.parked = append(first.lane.parked, first)
			continue
		}
		q.fly(first)
		return first, time.Time{}
	}
	return nil, time.Time{}
}

func (q *queue) fly(t *task) {
	t.in = flying
	if t.lane.flying == 0 {
		q.active++
	}
	t.lane.flying++
	q.flying++
}

// room is how many more tasks of a lane may fly. The lanes that have some in flight share
// the workers, and leave a share to the next one; one task may always fly.
func (q *queue) room(l *lane) int {
	share := max(min(q.cfg.PerBase, q.cfg.Workers/(q.active+1)), 1)
	return max(share-l.flying, 0)
}

// landed ends a task's flight and has those that were parked go on.
func (q *queue) landed(t *task) {
	t.in = nowhere
	t.lane.flying--
	q.flying--
	if t.lane.flying == 0 {
		q.active--
	}
	q.unpark(t.lane)
}

// unpark has as many of a lane's parked tasks go on as there is room for.
func (q *queue) unpark(l *lane) {
	for room := q.room(l); room > 0 && len(l.parked) > 0; {
		next := l.parked[0]
		l.parked = l.parked[1:]
		if next.in == parked { // else it was dropped
			next.in = ordered
			heap.Push(&q.order, next)
			room--
		}
	}
}

// order is a heap of tasks by when they are due.
type order []*task

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].at.Before(o[j].at) }
func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i, j
}

// Push implements heap.Interface.
func (o *order) Push(x any) {
	t := x.(*task)
	t.index = len(*o)
	*o = append(*o, t)
}

// Pop implements heap.Interface.
func (o *order) Pop() any {
	last := len(*o) - 1
	t := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return t
}
