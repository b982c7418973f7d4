package tunneltest

import (
	"context"
	"testing"
	"time"
)

const (
	// enough is how long anything may take that must happen.
	enough = 30 * time.Second
	// soon is after how long a question is asked again.
	soon = 500 * time.Millisecond
	// pollEvery is how often Await checks its condition.
	pollEvery = 5 * time.Millisecond
)

// within gives a context for a wait.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// Await waits until a condition holds. It polls every 5 ms, and fails the test after
// 30 s.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(enough)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", enough, what)
		}
	}
}

// During calls run and cancels its context when the test ends; run must then return
// without an error.
func During(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
