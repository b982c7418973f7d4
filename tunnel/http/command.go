package httptunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// command sends a command and reports what came of it. A request that is cut gives
// no answer: the base's list tells.
func (t *Tunnel) command(r *remote, b tunnel.BaseID, c tunnel.Command) {
	began := time.Now()
	var outcome string
	async, err := t.ask(r, b)
	switch {
	case err != nil:
	case async && c.Verb == tunnel.InstallModule && c.RequestID != "":
		outcome, err = t.install(r, b, c)
	default:
		outcome, err = t.direct(r, b, c)
	}
	if err != nil {
		outcome = "error"
		t.log.Debug("request failed", zap.Stringer("base", b), zap.String("verb", string(c.Verb)), zap.Error(err))
	}
	t.meter.Command(Name, c.Verb, outcome, time.Since(began))
}

// ask asks a base what it can do, where that is not known yet, and reports it before
// anything else of the base: what is planned on its first list depends on it. Async says
// that the base tells how an asynchronous install goes, and refuses a request id that
// it has seen.
func (t *Tunnel) ask(r *remote, b tunnel.BaseID) (async bool, err error) {
	_, err, _ = r.help.Do("", func() (any, error) { return nil, t.help(r, b) })
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.async, err
}

// help asks what a base can do, once.
func (t *Tunnel) help(r *remote, b tunnel.BaseID) error {
	t.mu.Lock()
	helped := r.helped
	t.mu.Unlock()
	if helped {
		return nil
	}
	answer, err := t.post(r, arklet.PathHelp, []byte("{}"))
	if err != nil {
		return err
	}
	commands, err := arklet.DecodeHelp(b, answer)
	if err != nil {
		t.meter.Dropped(Name, arklet.ReasonOf(err))
		return err
	}
	t.mu.Lock()
	r.helped, r.async = true, arklet.HasOps(commands)
	t.mu.Unlock()
	t.report(r, tunnel.Report{Base: b, Features: &tunnel.Features{Switch: arklet.HasSwitch(commands), Settings: true}})
	return nil
}

// direct sends a command that the base answers when it is done.
func (t *Tunnel) direct(r *remote, b tunnel.BaseID, c tunnel.Command) (string, error) {
	body, err := arklet.EncodeCommand(c, false)
	if err != nil {
		return "", err
	}
	asked := time.Now()
	answer, err := t.post(r, arklet.Path(c.Verb), body)
	if err != nil {
		return "", err
	}
	report := tunnel.Report{Base: b, Asked: asked}
	if err := arklet.DecodeResponse(c, answer, &report); err != nil {
		t.meter.Dropped(Name, arklet.ReasonOf(err))
		return "", err
	}
	t.report(r, report)
	if report.Answer != nil {
		return string(report.Answer.Outcome), nil
	}
	return "answered", nil
}

const (
	// An asynchronous install is asked about after askFirst, then after half as long
	// again each time, up to askMax.
	askFirst = 20 * time.Millisecond
	askMax   = 2 * time.Second
)

// install sends an asynchronous install and asks how it goes until it has ended.
func (t *Tunnel) install(r *remote, b tunnel.BaseID, c tunnel.Command) (string, error) {
	body, err := arklet.EncodeCommand(c, true)
	if err != nil {
		return "", err
	}
	question, err := arklet.EncodeOps(c.RequestID)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(r.ctx, t.cfg.InstallTimeout)
	defer cancel()
	path := arklet.Path(c.Verb)
	for pause := askFirst; ; pause = min(pause*3/2, askMax) {
		answer, err := t.post(r, path, body)
		switch {
		case err != nil && path != arklet.PathOps:
			return "", err // it may have arrived: the list tells
		case err == nil:
			progress, done, err := arklet.DecodeAsync(b, c, answer)
			if err != nil {
				t.meter.Dropped(Name, arklet.ReasonOf(err))
				return "", err
			}
			t.report(r, tunnel.Report{Base: b, Answer: done})
			if progress != arklet.Accepted {
				return string(done.Outcome), nil
			}
			path, body = arklet.PathOps, question
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", fmt.Errorf("ask how install of %s goes: %w", c.Module, context.Cause(ctx))
		}
	}
}

var errTooLong = errors.New("the answer is too long")

// post sends a request to a base and reads its answer.
func (t *Tunnel) post(r *remote, path string, body []byte) ([]byte, error) {
	url := "http://" + r.at.String() + "/" + path
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: status %s", path, resp.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, arklet.MaxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	if len(answer) > arklet.MaxMessage {
		t.meter.Dropped(Name, string(arklet.TooLarge))
		return nil, fmt.Errorf("ask %s: %w", path, errTooLong)
	}
	return answer, nil
}
