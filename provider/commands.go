package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

const (
	// sendTimeout bounds how long a command may take to leave this process.
	sendTimeout = 5 * time.Second
	// askFirst is the pause before a module list is asked for again when it is
	// needed and has not come; it doubles with each list that is owed.
	askFirst = 300 * time.Millisecond
)

// chooseTunnel stays with the tunnel that a base is heard through; it turns to
// another one when that has heard the base and its own has not, for as long as
// makes a base stale.
func (p *Provider) chooseTunnel(b *base, now time.Time) {
	if b.followed.Base != b.id || b.followed.Tunnel == b.beat.Tunnel {
		return
	}
	if own := p.bases.link(b.followed.Tunnel); own.Up && now.Sub(b.heardBy[b.followed.Tunnel]) < p.cfg.StaleAfter {
		keep := b.followed
		keep.Name, keep.Version, keep.Cluster = b.beat.Name, b.beat.Version, b.beat.Cluster
		keep.IP, keep.Hostname = b.beat.IP, b.beat.Hostname
		b.beat = keep
		return
	}
	p.log.Info("base moved to another tunnel", zap.Stringer("base", b.id), zap.String("tunnel", b.beat.Tunnel))
	p.tunnels[b.followed.Tunnel].Unfollow(b.id)
	b.followed = tunnel.Heartbeat{}
	b.features, b.listAsked, b.healthAsked = tunnel.Features{}, time.Time{}, time.Time{}
}

// follow lets the base's tunnel know where it is, when that changed.
func (p *Provider) follow(b *base) {
	t, ok := p.tunnels[b.beat.Tunnel]
	if !ok {
		return
	}
	f := b.followed
	if f.Base == b.id && f.IP == b.beat.IP && f.Port == b.beat.Port && !b.beat.Restarted {
		return
	}
	t.Follow(b.beat)
	b.beat.Restarted = false
	b.followed = b.beat
}

// send sends commands and remembers them as attempts. One that could not be sent
// is planned anew at the next look.
func (p *Provider) send(ctx context.Context, b *base, claim shard.Claim, commands []plan.Planned) {
	for _, c := range commands {
		b.requests++
		owner := string(c.Pod)
		if owner == "" {
			owner = "controller"
		}
		c.RequestID = fmt.Sprintf("%d-%s-%d", claim.Epoch, owner, b.requests)
		sent := time.Now()
		if err := p.do(ctx, b, c.Command); err != nil {
			p.log.Info("command not sent", zap.Stringer("base", b.id), zap.String("verb", string(c.Verb)),
				zap.Stringer("module", c.Module), zap.Error(err))
			p.queue.AddAfter(b.id, time.Second)
			continue
		}
		p.log.Info("command sent", zap.Stringer("base", b.id), zap.String("verb", string(c.Verb)),
			zap.Stringer("module", c.Module), zap.Bool("replace", c.Replace), zap.String("request", c.RequestID))
		b.attempts[c.Module.Name] = plan.Attempt{Command: c.Command, Pod: c.Pod, Sent: sent, Before: keysOf(b.modules)}
		p.owes(b, sent)
	}
}

func keysOf(modules []tunnel.Module) []tunnel.ModuleKey {
	keys := make([]tunnel.ModuleKey, 0, len(modules))
	for _, m := range modules {
		keys = append(keys, m.ModuleKey)
	}
	return keys
}

func (p *Provider) do(ctx context.Context, b *base, c tunnel.Command) error {
	t, ok := p.tunnels[b.followed.Tunnel]
	if !ok {
		return tunnel.ErrNotFollowed
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return t.Do(ctx, b.id, c)
}

// owes notes that the base has a request to answer. What is sent to one that is not
// back since our link came up may be lost, and tells nothing.
func (p *Provider) owes(b *base, since time.Time) {
	if b.unanswered.IsZero() && p.heardOverThisLink(b) {
		b.unanswered = since
	}
}

// listDue is when the module list should be asked for next.
func (p *Provider) listDue(b *base, needed bool) time.Time {
	if b.listAsked.IsZero() {
		return b.firstAsk()
	}
	pause := p.cfg.ListEvery
	if needed {
		pause = min(askFirst<<min(b.outstanding(), maxAsks), pause)
	}
	return b.listAsked.Add(pause)
}

// poll asks for the module list and the health when they are due.
func (p *Provider) poll(ctx context.Context, b *base, now time.Time, needed bool) {
	if !p.bases.link(b.followed.Tunnel).Up {
		return
	}
	if !now.Before(p.listDue(b, needed)) {
		b.listAsked = now
		p.ask(ctx, b, tunnel.ListModules, b.asked)
	}
	if !now.Before(p.healthDue(b)) {
		b.healthAsked = now
		p.ask(ctx, b, tunnel.ReadHealth, func(time.Time) {})
	}
}

// healthDue is when the health should be asked for next.
func (p *Provider) healthDue(b *base) time.Time {
	switch {
	case b.healthAsked.IsZero():
		return b.firstAsk()
	case b.health == nil:
		return b.healthAsked.Add(min(p.cfg.ListEvery, p.cfg.HealthEvery))
	}
	return b.healthAsked.Add(p.cfg.HealthEvery)
}

// firstAsk is when a base is asked that was not asked yet.
func (b *base) firstAsk() time.Time {
	if b.askAgain.IsZero() {
		return b.adopted
	}
	return b.askAgain
}

// A base that its tunnel does not hear yet is asked again after followPause, doubled
// each time up to followPauseMax.
const (
	followPause    = 20 * time.Millisecond
	followPauseMax = time.Second
)

// ask sends a request that changes nothing. The note is taken before, so that the
// answer cannot come first.
func (p *Provider) ask(ctx context.Context, b *base, v tunnel.Verb, note func(time.Time)) {
	now := time.Now()
	note(now)
	err := p.do(ctx, b, tunnel.Command{Verb: v})
	if errors.Is(err, tunnel.ErrNotFollowed) {
		b.listAsked, b.healthAsked = time.Time{}, time.Time{}
		b.forgetAsks()
		b.askAgain = now.Add(min(followPause<<min(b.notFollowed, 10), followPauseMax))
		b.notFollowed++
		p.owes(b, now) // a broker may refuse the subscription for ever
		return
	}
	b.notFollowed, b.askAgain = 0, time.Time{}
	if err != nil {
		level := p.log.Info
		if errors.Is(err, tunnel.ErrBusy) || errors.Is(err, tunnel.ErrNotLinked) {
			level = p.log.Debug
		}
		level("base not asked", zap.Stringer("base", b.id), zap.String("verb", string(v)), zap.Error(err))
		return
	}
	p.owes(b, now)
}
