package httptunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	"module-controller/tunnel"
)

const (
	// maxLetters is how many letters wait for one peer; more are dropped, as bases repeat
	// them.
	maxLetters = 1024
	// maxOutboxes bounds the peers that letters go to at a time.
	maxOutboxes = 256
	peerTimeout = 3 * time.Second
	// forwardFor is how long a letter is worth forwarding: then the base sends another.
	forwardFor = 12 * time.Second
	// outboxIdle is how long a connection to a peer is kept that gets nothing.
	outboxIdle = time.Minute
)

// Why heartbeats are not forwarded to a peer that may be well.
var (
	errManyWait   = fmt.Errorf("%d heartbeats wait for it", maxLetters)
	errWaitedLong = fmt.Errorf("it waited for more than %s", forwardFor)
)

// letter is a heartbeat that was accepted here.
type letter struct {
	heartbeat tunnel.Heartbeat // with the Sender that was proved here
	from      string           // the speaker
	body      []byte           // as it came
}

// topic is what a letter replaces another of: the last word of one sender about one base is
// worth as much as all of them. Who else speaks for the base has letters of its own.
type topic struct {
	base tunnel.BaseID
	from string
}

func (l letter) topic() topic { return topic{l.heartbeat.Base, l.from} }

// outbox has the letters for one peer. Each peer has its own, so that one that does not
// answer delays those for no other.
type outbox struct {
	to     Peer
	client *http.Client
	wake   chan struct{} // has one element while there may be letters

	// Tunnel.mu guards what follows
	letters map[topic]letter
	order   []topic // each of letters once, the one that waits longest first
}

// put keeps a letter, and says whether there was room. One of the same topic gives its place
// to it: who speaks often takes no room from others.
func (b *outbox) put(l letter) bool {
	key := l.topic()
	_, waits := b.letters[key]
	switch {
	case waits:
	case len(b.order) >= maxLetters:
		return false
	default:
		b.order = append(b.order, key)
	}
	b.letters[key] = l
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take gives the letter that waits longest; ok is false for none.
func (b *outbox) take() (l letter, ok bool) {
	if len(b.order) == 0 {
		return letter{}, false
	}
	l = b.letters[b.order[0]]
	delete(b.letters, b.order[0])
	b.order = slices.Delete(b.order, 0, 1)
	return l, true
}

// enqueue queues a heartbeat to be forwarded if its base is another replica's. It does
// not block.
func (t *Tunnel) enqueue(l letter) {
	if t.cfg.Peers == nil {
		return
	}
	to := t.cfg.Peers.Owner(l.heartbeat.Base)
	if to == (Peer{}) {
		return
	}
	if !t.put(l, to) {
		t.lose(l, to, "peer_busy", errManyWait)
	}
}

// put queues a heartbeat for a peer, and says whether there was room.
func (t *Tunnel) put(l letter, to Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	box := t.outbox(to)
	return box != nil && box.put(l)
}

// outbox gives a peer's, which it makes if need be; nil where there are too many or Run
// does not run. The caller holds mu.
func (t *Tunnel) outbox(to Peer) *outbox {
	if box := t.outboxes[to]; box != nil {
		return box
	}
	if t.sink == nil || len(t.outboxes) >= maxOutboxes {
		return nil
	}
	box := &outbox{to: to, client: t.cfg.Key.client(to), wake: make(chan struct{}, 1), letters: map[topic]letter{}}
	t.outboxes[to] = box
	ctx := t.forwarding
	t.work.Go(func() { t.runOutbox(ctx, box) })
	return box
}

// runOutbox forwards a peer's heartbeats until ctx ends or none came for a while.
func (t *Tunnel) runOutbox(ctx context.Context, box *outbox) {
	defer box.client.CloseIdleConnections()
	idle := time.NewTimer(outboxIdle)
	defer idle.Stop()
	for {
		select {
		case <-box.wake:
			t.empty(ctx, box)
			idle.Reset(outboxIdle)
		case <-idle.C:
			if t.discard(box) {
				return
			}
			idle.Reset(outboxIdle)
		case <-ctx.Done():
			return
		}
	}
}

// empty forwards what waits, until ctx ends.
func (t *Tunnel) empty(ctx context.Context, box *outbox) {
	for ctx.Err() == nil {
		t.mu.Lock()
		l, ok := box.take()
		t.mu.Unlock()
		if !ok {
			return
		}
		t.forward(ctx, box, l)
	}
}

// discard forgets an outbox that is empty, and says whether it was.
func (t *Tunnel) discard(box *outbox) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(box.order) > 0 {
		return false
	}
	delete(t.outboxes, box.to)
	return true
}

func (t *Tunnel) forward(ctx context.Context, box *outbox, l letter) {
	if time.Since(l.heartbeat.Received) > forwardFor {
		t.lose(l, box.to, "peer_busy", errWaitedLong)
		return
	}
	err := box.send(ctx, l)
	if err == nil || ctx.Err() != nil {
		return
	}
	t.lose(l, box.to, "peer_unreachable", err)
	if errors.Is(err, syscall.ECONNREFUSED) {
		t.cfg.Peers.Refused(l.heartbeat.Base)
	}
}

func (b *outbox) send(ctx context.Context, l letter) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+b.to.Address+peerPath, bytes.NewReader(l.body))
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	if err := setProof(r.Header, l.heartbeat.Sender); err != nil {
		return err
	}
	answer, err := b.client.Do(r)
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	_ = answer.Body.Close() // the status says it all
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("forward heartbeat: the peer answered status %d", answer.StatusCode)
	}
	return nil
}
