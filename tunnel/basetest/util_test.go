package basetest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "module-controller/internal/oneproc" // tests in bubbles
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustNew(t *testing.T, o Options) *Base {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// enough is how long anything may take that must happen.
const enough = 30 * time.Second

// await and during are what tunneltest.Await and tunneltest.During are. That package
// imports this one, so tests inside this one cannot import it.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	for !holds() {
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatalf("waited %s for %s", enough, what)
		}
	}
}

func during(t *testing.T, run func(context.Context) error) {
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
