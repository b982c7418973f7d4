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

// command sends a command and reports the answer. A request that is cut off gives none:
// the base's next list shows what came of it.
func (t *Tunnel) command(r *remote, b tunnel.BaseID, c tunnel.Command) {
	began := time.Now()
	var outcome string
	async, err := t.discover(r, b)
	switch {
	case err != nil:
	case async && c.Verb == tunnel.InstallModule && c.RequestID != "":
		outcome, err = t.install(r, b, c)
	default:
		outcome, err = t.direct(r, b, c)
	}
	if err != nil {
		outcome = "error"
		if errors.Is(err, errAddress) {
			t.meter.Dropped(Name, "address_refused")
			t.teller.tell("base not commanded", b.String(), "address_refused", err)
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
	// An asynchronous install is polled after pollBase, then after half as long again
	// each time, up to pollMax.
	pollBase = 20 * time.Millisecond
	pollMax  = 2 * time.Second
)

// install sends an asynchronous install and polls it until it has ended.
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
	for pause := pollBase; ; pause = min(pause*3/2, pollMax) {
		answer, err := t.post(r, path, body)
		switch {
		case err != nil && path != arklet.PathOps:
			return "", err // it may have arrived: the next list shows it
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
			return "", fmt.Errorf("poll install of %s: %w", c.Module, context.Cause(ctx))
		}
	}
}

var errTooLarge = errors.New("answer is too long")

// post sends a request to a base and reads the answer, at most arklet.MaxMessage bytes.
func (t *Tunnel) post(r *remote, path string, body []byte) ([]byte, error) {
	url := "http://" + r.at.String() + "/" + path
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("post %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("post %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("post %s: status %s", path, resp.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, arklet.MaxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("post %s: %w", path, err)
	}
	if len(answer) > arklet.MaxMessage {
		t.meter.Dropped(Name, string(arklet.TooLarge))
		return nil, fmt.Errorf("post %s: %w", path, errTooLarge)
	}
	return answer, nil
}
