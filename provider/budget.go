package provider

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"module-controller/provider/plan"
)

// Events of one base: so many at once, then one in each pause. Those on pods are more, for
// a base that restarts tells of each of its modules. It bounds what etcd has to keep: the
// recorder sees to it that no base's Events displace those of others.
const (
	nodeEvents, nodeEventPause = 10, 10 * time.Second
	podEvents, podEventPause   = 1000, time.Second
)

// reasonLeftOut is the reason of the Event that tells of those that were left out.
const reasonLeftOut = "EventsLeftOut"

// budget bounds the Events of one base. It belongs to the worker that holds the base.
type budget struct {
	node, pods *rate.Limiter // nil until the first Event
	leftOut    int
}

// droppedLeftOut is why an Event is not told, where they are counted.
const droppedLeftOut = "left_out"

// spend gives the Events that may be told now, and how many of these may not. Once there
// is room again, it adds one that says how many they were.
func (b *budget) spend(events []plan.Event, now time.Time) (told []plan.Event, left int) {
	if len(events) > 0 && b.node == nil {
		b.node = rate.NewLimiter(rate.Every(nodeEventPause), nodeEvents)
		b.pods = rate.NewLimiter(rate.Every(podEventPause), podEvents)
	}
	for _, e := range events {
		of := b.pods
		if e.Pod == "" {
			of = b.node
		}
		if of.AllowN(now, 1) {
			told = append(told, e)
		} else {
			left++
		}
	}
	b.leftOut += left
	if b.leftOut > 0 && b.node.AllowN(now, 1) {
		told = append(told, plan.Event{Warning: true, Reason: reasonLeftOut,
			Message: fmt.Sprintf("%d Events of this base and its modules were left out: it changes too often", b.leftOut)})
		b.leftOut = 0
	}
	return told, left
}
