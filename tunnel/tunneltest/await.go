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
)

// within gives a context for a wait.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// Await waits for a condition that is looked at every 5 ms.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	for !holds() {
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatalf("waited %s for %s", enough, what)
		}
	}
}

// During runs run until the test ends; it must then return without an error.
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
