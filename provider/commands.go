package provider

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// sendTimeout bounds how long a command may take to leave this process.
const sendTimeout = 5 * time.Second

// asked is what a command counts as when it is sent, until its end is known.
const asked = "asked"

// tunnels speaks to bases through the transports. A Node may name a transport that is not
// served here: what is said through it is not followed.
type tunnels struct {
	byName map[string]tunnel.Tunnel
	meter  Meter
	log    *zap.Logger
	budget *questions
}

func (t tunnels) unfollow(name string, id tunnel.BaseID) {
	if to := t.byName[name]; to != nil {
		to.Unfollow(id)
	}
}

// follow tells the tunnels where the base is now.
func (t tunnels) follow(id tunnel.BaseID, talk lifecycle.Talk) {
	t.unfollow(talk.Unfollow, id)
	if talk.Follow == nil {
		return
	}
	if talk.Unfollow != "" {
		t.log.Info("base moved to another tunnel", zap.Stringer("base", id), zap.String("tunnel", talk.Follow.Tunnel))
	}
	if to := t.byName[talk.Follow.Tunnel]; to != nil {
		to.Follow(*talk.Follow)
	}
}

func (t tunnels) do(ctx context.Context, r *entry, c tunnel.Command) error {
	to := t.byName[r.base.Tunnel()]
	if to == nil {
		return tunnel.ErrNotFollowed
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return to.Do(ctx, r.id, c)
}

// send sends commands as long as may permits it, which is asked before each, and says
// whether all left that might. One that did not leave is planned anew.
func (t tunnels) send(ctx context.Context, r *entry, commands []plan.Planned, may func() bool) (all bool) {
	all = true
	for _, c := range commands {
		if !may() {
			return all
		}
		at := time.Now()
		err := t.do(ctx, r, c.Command)
		log := t.log.With(zap.Stringer("base", r.id), zap.String("verb", string(c.Verb)), zap.Stringer("module", c.Module))
		if err != nil {
			log.Info("command not sent", zap.Error(err))
			all = false
			continue
		}
		log.Info("command sent", zap.Bool("replace", c.Replace), zap.String("request", c.RequestID))
		t.meter.Commanded(string(c.Verb), asked)
		r.base.Sent(c, at)
	}
	return all
}

// ask sends requests that change nothing. It gives when the base is to be reconciled again
// because its tunnel does not hear it yet; else the zero time.
func (t tunnels) ask(ctx context.Context, r *entry, verbs []tunnel.Verb) (again time.Time) {
	for _, v := range verbs {
		at := time.Now()
		if v == tunnel.ListModules {
			r.inbox.asked(at) // before, so that the answer cannot come first
		}
		err := t.do(ctx, r, tunnel.Command{Verb: v})
		if again = r.base.Asked(v, at, err); !again.IsZero() {
			r.inbox.forgetRequests()
			return again
		}
		t.note(r.id, v, err)
	}
	return time.Time{}
}

// note logs a request that did not leave: at debug level where that is ordinary.
func (t tunnels) note(id tunnel.BaseID, v tunnel.Verb, err error) {
	log := t.log.Info
	switch {
	case err == nil:
		return
	case errors.Is(err, tunnel.ErrBusy), errors.Is(err, tunnel.ErrNotLinked):
		log = t.log.Debug
	}
	log("poll failed", zap.Stringer("base", id), zap.String("verb", string(v)), zap.Error(err))
}
