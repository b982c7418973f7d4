package httptunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// request is one request to a base.
type request struct {
	path     string
	body     []byte
	question bool // it changes nothing: a base answers at once
}

func question(path string, body []byte) request { return request{path, body, true} }

// errAnswer: the base answered, but not as it should. It is returned wrapped.
var errAnswer = errors.New("unusable answer")

// failure is what ended a request. The words may be the base's, in a status line or a header
// that cannot be read: they are shown redacted, clean and cut.
type failure struct{ err error }

// maxFailure is the maximum length of its words, in bytes.
const maxFailure = 256

func (f failure) Error() string { return tunnel.Say(f.err.Error(), maxFailure) }

// Unwrap gives what ended it.
func (f failure) Unwrap() error { return f.err }

// ask sends a request to a base and has use read the answer, which it must not keep. How
// it ended decides which share the base's next requests are from. An error is a failure.
func (t *Tunnel) ask(r *remote, q request, use func(answer []byte) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, t.patience(r))
	defer cancel()
	err := t.exchange(ctx, r, q, use)
	if r.ctx.Err() == nil { // else it was cut off by us
		now := time.Now()
		t.mu.Lock()
		r.record.judge(verdictOn(err, now.Sub(began), q.question), began, now)
		t.mu.Unlock()
	}
	if err != nil {
		return failure{err}
	}
	return nil
}

// patience is how long a request to a base may take.
func (t *Tunnel) patience(r *remote) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.record.standing() == untried {
		return min(firstAnswer, t.cfg.Timeout)
	}
	return t.cfg.Timeout
}

func (t *Tunnel) exchange(ctx context.Context, r *remote, q request, use func([]byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.at.String()+"/"+q.path, bytes.NewReader(q.body))
	if err != nil {
		return fmt.Errorf("post %s: %w", q.path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", q.path, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post %s: %w: status %s", q.path, errAnswer, resp.Status)
	}
	limit := arklet.Limit(q.path)
	return t.digest(ctx, resp.Body, limit, func(answer []byte, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("post %s: %w", q.path, err)
		case len(answer) > limit:
			return t.disbelieve(r, q, string(arklet.TooLarge), fmt.Errorf("post %s: %w: more than %d bytes", q.path, errAnswer, limit))
		}
		if err := use(answer); err != nil {
			return t.disbelieve(r, q, arklet.ReasonOf(err), fmt.Errorf("post %s: %w: %w", q.path, errAnswer, err))
		}
		return nil
	})
}

const (
	// smallAnswer is what is read of any answer, in bytes: a list of 100 modules has
	// 20 KB.
	smallAnswer = 64 << 10
	// maxAnswers bounds the longer answers that are read and decoded at a time, in bytes.
	maxAnswers = 64 << 20
)

// digest reads at most one byte more than limit and has use take it, or the error. A long
// answer waits until there is room for the longest one of its kind, from its first bytes
// until it was used: as long as it is kept, decoding included.
func (t *Tunnel) digest(ctx context.Context, body io.Reader, limit int, use func([]byte, error) error) error {
	answer, err := io.ReadAll(io.LimitReader(body, int64(min(smallAnswer, limit+1))))
	if err != nil || len(answer) < smallAnswer {
		return use(answer, err)
	}
	if err := t.answers.Acquire(ctx, int64(limit)); err != nil {
		return use(nil, fmt.Errorf("wait for room for a long answer: %w", err))
	}
	defer t.answers.Release(int64(limit))
	rest, err := io.ReadAll(io.LimitReader(body, int64(limit+1-len(answer))))
	return use(append(answer, rest...), err)
}
