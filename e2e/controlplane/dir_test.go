package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSweep(t *testing.T) {
	parent := t.TempDir()
	dir, release, err := newDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(parent, dirPrefix+"being-made")
	if err := os.Mkdir(stranger, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("sweep took a folder whose owner lives: %v", err)
	}
	// The lock ends with its owner, as it ends here.
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("sweep left an ownerless folder (%v)", err)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Errorf("sweep took a folder that nobody owns yet: %v", err)
	}
}

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	never := func() { t.Error("a free lock made its taker wait") }
	unlock, err := lock(t.Context(), path, never)
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := lock(ctx, path, func() { cancel(enough) }); !errors.Is(err, enough) {
		t.Errorf("a taken lock: %v, want a wait until %v", err, enough)
	}
	unlock()
	unlock, err = lock(t.Context(), path, never)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
