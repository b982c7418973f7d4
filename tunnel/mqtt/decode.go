package mqtttunnel

import (
	"context"
	"hash/maphash"
	"runtime"
	"sync"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

const (
	minDecoders, maxDecoders = 2, 8
	// What may wait to be decoded in all, in bytes: enough for the lists of 3,000 bases
	// that answer at once.
	maxFollowed, maxOthers = 64 << 20, 8 << 20
	// maxAnnouncement is the size of the largest heartbeat and queryBaseline that are
	// read, in bytes. Anybody may announce a base; a real one has 300 bytes.
	maxAnnouncement = 16 << 10
)

// decoders decode what connections receive. A base's messages are decoded by one of them,
// in order; which one nobody outside can know. No connection and no other base waits for
// more than the message that is being decoded and one message of each that is waiting.
type decoders struct {
	seed     maphash.Seed
	backlogs []*backlog
	decode   func(received)
}

func newDecoders(decode func(received)) *decoders {
	n := min(max(runtime.GOMAXPROCS(0), minDecoders), maxDecoders)
	d := &decoders{seed: maphash.MakeSeed(), decode: decode}
	for range n {
		d.backlogs = append(d.backlogs, newBacklog(maxFollowed/n, maxOthers/n))
	}
	return d
}

// run decodes until ctx ends. What is left then is dropped.
func (d *decoders) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, b := range d.backlogs {
		wg.Go(func() { d.work(ctx, b) })
	}
	wg.Wait()
}

func (d *decoders) work(ctx context.Context, b *backlog) {
	for ctx.Err() == nil {
		if m, ok := b.next(); ok {
			d.decode(m)
			continue
		}
		select {
		case <-b.more:
		case <-ctx.Done():
		}
	}
}

// of is the backlog that a base's messages go to.
func (d *decoders) of(b tunnel.BaseID) *backlog {
	return d.backlogs[maphash.Comparable(d.seed, b)%uint64(len(d.backlogs))]
}

// enqueue has a message decoded, unless its base sends too much. It returns at once.
func (t *Tunnel) enqueue(m received, followed bool) {
	if !t.large.permit(m, m.at) {
		t.drop(m.topic, "base_busy")
		return
	}
	lane := laneOthers
	if followed {
		lane = laneFollowed
	}
	overdrawn, crowded := t.decoders.of(m.base).put(m, lane)
	for _, lost := range overdrawn {
		t.drop(lost.topic, "base_busy")
	}
	for _, lost := range crowded {
		t.drop(lost.topic, "decoders_busy")
	}
}

// decode decodes a message and delivers it.
func (t *Tunnel) decode(m received) {
	msg, err := arklet.DecodeMQTT(m.base, m.kind, m.payload)
	switch {
	case err != nil:
		t.drop(m.topic, arklet.ReasonOf(err), zap.Error(err))
	case msg.Heartbeat != nil:
		t.heartbeat(m, *msg.Heartbeat)
	case m.kind == arklet.KindBaseline:
		t.restarts.Add(m.base, msg.Report.Stamp)
	case !t.report(m, *msg.Report):
		t.drop(m.topic, "not_followed") // since it came
	}
}

// heartbeat delivers a heartbeat.
func (t *Tunnel) heartbeat(m received, h tunnel.Heartbeat) {
	h.Tunnel, h.Received = Name, m.at
	h.Sender = tunnel.Sender{Bound: true} // the broker let it publish on the base's topics
	if restart, ok := t.restarts.Peek(m.base); ok && !h.Stamp.Before(restart) {
		t.restarts.Remove(m.base)
		h.Restarted = h.Stamp.Sub(restart) < restartWindow
	}
	m.sink.Heartbeat(h)
}

// report delivers a report if its base is followed, which Unfollow does not end meanwhile:
// nothing is reported of a base once that has returned.
func (t *Tunnel) report(m received, r tunnel.Report) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if _, followed := t.followed[m.base]; !followed {
		return false
	}
	r.Tunnel, r.Received = Name, m.at
	m.sink.Report(r) // which returns at once
	return true
}
