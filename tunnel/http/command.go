package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// command sends a command and reports the answer. A request that is cut off gives none:
// the base's next list shows what came of it.
func (t *Tunnel) command(u *turn, b tunnel.BaseID, c tunnel.Command) {
	began := time.Now()
	var outcome string
	async, err := t.discover(u.r, b)
	switch {
	case err != nil:
	case async && c.Verb == tunnel.InstallModule && c.RequestID != "":
		outcome, err = t.install(u, b, c)
	default:
		outcome, err = t.direct(u.r, b, c)
	}
	if err != nil {
		outcome = "error"
		if errors.Is(err, errAddress) {
			t.meter.Dropped(Name, "address_refused")
			t.refusals.Tell("base not commanded", "address_refused", b.String(), append(identified(b), zap.Error(err))...)
		}
		t.log.Debug("request failed", zap.Stringer("base", b), zap.String("verb", string(c.Verb)), zap.Error(err))
	}
	t.meter.Command(Name, c.Verb, outcome, time.Since(began))
}

// discover asks a base for its features, once, and reports them before anything else of
// the base: what is planned on its first list depends on them. async: the base reports
// the progress of an asynchronous install, and refuses a request id that it has seen.
func (t *Tunnel) discover(r *remote, b tunnel.BaseID) (async bool, err error) {
	_, err, _ = r.help.Do("", func() (any, error) { return nil, t.help(r, b) })
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.async, err
}

// help asks a base for its list of commands, once.
func (t *Tunnel) help(r *remote, b tunnel.BaseID) error {
	t.mu.Lock()
	discovered := r.discovered
	t.mu.Unlock()
	if discovered {
		return nil
	}
	var commands []string
	err := t.ask(r, question(arklet.PathHelp, []byte("{}")), func(answer []byte) (err error) {
		commands, err = arklet.DecodeHelp(b, answer)
		return err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	r.discovered, r.async = true, arklet.HasOps(commands)
	t.mu.Unlock()
	t.report(r, tunnel.Report{Base: b, Features: &tunnel.Features{Switch: arklet.HasSwitch(commands), Settings: true}})
	return nil
}

// direct sends a command that the base answers once it has ended.
func (t *Tunnel) direct(r *remote, b tunnel.BaseID, c tunnel.Command) (string, error) {
	body, err := arklet.EncodeCommand(c, false)
	if err != nil {
		return "", err
	}
	report := tunnel.Report{Base: b, Asked: time.Now()}
	asks := c.Verb == tunnel.ListModules || c.Verb == tunnel.ReadHealth
	err = t.ask(r, request{arklet.Path(c.Verb), body, asks}, func(answer []byte) error {
		return arklet.DecodeResponse(c, answer, &report)
	})
	if err != nil {
		return "", err
	}
	t.report(r, report)
	if report.Answer != nil {
		return string(report.Answer.Outcome), nil
	}
	return "answered", nil
}

const (
	// An asynchronous install is polled after pollBase, then after half as long again
	// each time, up to pollMax.
	pollBase = 20 * time.Millisecond
	pollMax  = 2 * time.Second
	// All installs together are polled pollsEach times a second, so that a rollout to a
	// fleet keeps nobody else waiting; those that this delays are polled a pause later.
	pollsEach, pollsBurst = 256, 8
)

// install sends an asynchronous install and polls it until it has ended.
func (t *Tunnel) install(u *turn, b tunnel.BaseID, c tunnel.Command) (string, error) {
	body, err := arklet.EncodeCommand(c, true)
	if err != nil {
		return "", err
	}
	poll, err := arklet.EncodeOps(c.RequestID)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(u.r.ctx, t.cfg.InstallTimeout)
	defer cancel()
	accepted := false
	next := request{arklet.Path(c.Verb), body, false}
	for pause := pollBase; ; pause = min(pause*3/2, pollMax) {
		var progress arklet.Progress
		var done *tunnel.Answer
		err := t.ask(u.r, next, func(answer []byte) (err error) {
			progress, done, err = arklet.DecodeAsync(b, c, answer)
			return err
		})
		switch {
		case err == nil:
			t.report(u.r, tunnel.Report{Base: b, Answer: done})
			if progress != arklet.Accepted {
				return string(done.Outcome), nil
			}
			accepted, next = true, question(arklet.PathOps, poll)
		case !accepted, isDecoding(err): // it may have arrived: the next list shows it
			return "", err
		}
		if err := u.wait(ctx, pause); err != nil {
			return "", fmt.Errorf("poll install of %s: %w", c.Module, err)
		}
	}
}

func isDecoding(err error) bool {
	var e *arklet.Error
	return errors.As(err, &e)
}
