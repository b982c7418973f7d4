package httptunnel

import (
	"context"
	"time"
)

// turn is a command that is being done, with its right to have a request in flight.
type turn struct {
	t    *Tunnel
	r    *remote
	seat seat // Tunnel.mu guards it
	held bool // it has a seat; Tunnel.mu guards it
}

// start runs work for a base, unless too much is in flight. The caller holds mu.
func (t *Tunnel) start(r *remote, work func(*turn)) bool {
	if r.busy >= t.cfg.PerBase {
		return false
	}
	u := &turn{t: t, r: r}
	if !u.sit(false) {
		return false
	}
	r.busy++
	t.work.Go(func() {
		work(u)
		t.mu.Lock()
		defer t.mu.Unlock()
		u.rise()
		r.busy--
	})
	return true
}

// sit takes a seat if there is one. The caller holds Tunnel.mu.
func (u *turn) sit(poll bool) bool {
	u.seat, u.held = u.t.shares.take(&u.r.record, poll)
	return u.held
}

// rise gives the seat back. The caller holds Tunnel.mu.
func (u *turn) rise() {
	if u.held {
		u.t.shares.give(&u.r.record, u.seat)
		u.held = false
	}
}

// wait gives the seat back for a pause, and until there is one again: a command that
// sleeps is in nobody's way.
func (u *turn) wait(ctx context.Context, pause time.Duration) error {
	u.t.mu.Lock()
	u.rise()
	u.t.mu.Unlock()
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if u.resume() {
			return nil
		}
	}
}

// resume takes a seat for a poll, if there is one and polls are not too many by now.
func (u *turn) resume() bool {
	u.t.mu.Lock()
	defer u.t.mu.Unlock()
	if !u.sit(true) {
		return false
	}
	if u.t.polls.Allow() {
		return true
	}
	u.rise()
	return false
}
