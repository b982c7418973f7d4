package provider

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
	"module-controller/tunnel"
)

const (
	// sendTimeout bounds how long a command may take to leave this process.
	sendTimeout = 5 * time.Second
	// sendPause is how soon a base is looked at again whose command did not leave.
	sendPause = time.Second
)

// tunnels are the transports by name. A Node may name one that is not served here.
type tunnels map[string]tunnel.Tunnel

func (t tunnels) unfollow(name string, id tunnel.BaseID) {
	if to := t[name]; to != nil {
		to.Unfollow(id)
	}
}

func (t tunnels) follow(h tunnel.Heartbeat) {
	if to := t[h.Tunnel]; to != nil {
		to.Follow(h)
	}
}

func (t tunnels) do(ctx context.Context, name string, id tunnel.BaseID, c tunnel.Command) error {
	to := t[name]
	if to == nil {
		return tunnel.ErrNotFollowed
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return to.Do(ctx, id, c)
}

// follow tells the tunnels where the base is now.
func (p *Provider) follow(r *entry, t lifecycle.Talk) {
	p.tunnels.unfollow(t.Unfollow, r.id)
	if t.Follow == nil {
		return
	}
	if t.Unfollow != "" {
		p.log.Info("base moved to another tunnel", zap.Stringer("base", r.id), zap.String("tunnel", t.Follow.Tunnel))
	}
	p.tunnels.follow(*t.Follow)
}

// send sends commands, if the claim still allows it. One that could not be sent is
// planned anew.
func (p *Provider) send(ctx context.Context, r *entry, do lifecycle.Actions) {
	if do.Write.Show {
		p.pods.Show(r.node)
	}
	if len(do.Talk.Send) == 0 || !r.base.MaySend(p.right(r.id)) {
		return // the write of the Node may have taken long
	}
	for _, c := range do.Talk.Send {
		at := time.Now()
		err := p.tunnels.do(ctx, r.base.Tunnel(), r.id, c.Command)
		log := p.log.With(zap.Stringer("base", r.id), zap.String("verb", string(c.Verb)), zap.Stringer("module", c.Module))
		if err != nil {
			log.Info("command not sent", zap.Error(err))
			p.queue.AddAfter(r.id, sendPause)
			continue
		}
		log.Info("command sent", zap.Bool("replace", c.Replace), zap.String("request", c.RequestID))
		r.base.Sent(c, at)
	}
}

// ask sends requests that change nothing. It gives when the base is to be looked at again
// because its tunnel does not hear it yet; else the zero time.
func (p *Provider) ask(ctx context.Context, r *entry, verbs []tunnel.Verb) (again time.Time) {
	for _, v := range verbs {
		at := time.Now()
		if v == tunnel.ListModules {
			r.inbox.asked(at) // before, so that the answer cannot come first
		}
		err := p.tunnels.do(ctx, r.base.Tunnel(), r.id, tunnel.Command{Verb: v})
		if again = r.base.Asked(at, err); !again.IsZero() {
			r.inbox.forgetRequests()
			return again
		}
		p.noteAsk(r, v, err)
	}
	return time.Time{}
}

// noteAsk logs a request that did not leave: at debug level where that is ordinary.
func (p *Provider) noteAsk(r *entry, v tunnel.Verb, err error) {
	log := p.log.Info
	switch {
	case err == nil:
		return
	case errors.Is(err, tunnel.ErrBusy), errors.Is(err, tunnel.ErrNotLinked):
		log = p.log.Debug
	}
	log("poll failed", zap.Stringer("base", r.id), zap.String("verb", string(v)), zap.Error(err))
}
