package provider

import (
	"container/list"
	"time"

	"module-controller/tunnel"
)

// waiting are new bases that may come in once others have answered. They cost a heartbeat
// each, and no Lease. Who speaks again keeps its place, and who does not loses it: what is
// made up is seldom said twice.
type waiting struct {
	places map[tunnel.BaseID]*list.Element
	line   list.List // of tunnel.Heartbeat, the last one of each base
	swept  time.Time // when those that do not speak were looked for last
}

// speaksWithin is how long a base that waits may say nothing: bases speak every 10 s.
const speaksWithin = 15 * time.Second

func newWaiting() *waiting { return &waiting{places: map[tunnel.BaseID]*list.Element{}} }

func (w *waiting) len() int { return w.line.Len() }

// add has a base wait, or go on to, among as many as may; it is false where there is no place.
func (w *waiting) add(h tunnel.Heartbeat, most int, now time.Time) bool {
	if place, is := w.places[h.Base]; is {
		place.Value = h
		return true
	}
	if w.len() >= most {
		w.sweep(now)
	}
	if w.len() >= most {
		return false
	}
	w.places[h.Base] = w.line.PushBack(h)
	return true
}

// sweep drops who does not speak any more, once a second at most: a flood asks for it with
// each message.
func (w *waiting) sweep(now time.Time) {
	if now.Sub(w.swept) < time.Second {
		return
	}
	w.swept = now
	for place := w.line.Front(); place != nil; {
		h := place.Value.(tunnel.Heartbeat)
		place = place.Next()
		if silent(h, now) {
			w.remove(h.Base)
		}
	}
}

// next gives who waits longest, and has it wait no more.
func (w *waiting) next(now time.Time) (tunnel.Heartbeat, bool) {
	for place := w.line.Front(); place != nil; place = w.line.Front() {
		h := place.Value.(tunnel.Heartbeat)
		w.remove(h.Base)
		if !silent(h, now) {
			return h, true
		}
	}
	return tunnel.Heartbeat{}, false
}

func (w *waiting) remove(id tunnel.BaseID) {
	if place, is := w.places[id]; is {
		w.line.Remove(place)
		delete(w.places, id)
	}
}

func silent(h tunnel.Heartbeat, now time.Time) bool { return now.Sub(h.Received) > speaksWithin }
