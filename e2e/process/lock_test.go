package process

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	never := func() { t.Error("a free lock made its taker wait") }
	unlock, err := Lock(t.Context(), path, never)
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := Lock(ctx, path, func() { cancel(enough) }); !errors.Is(err, enough) {
		t.Errorf("a taken lock: %v, want a wait until %v", err, enough)
	}
	unlock()
	unlock, err = Lock(t.Context(), path, never)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
