package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"module-controller/e2e/process"
)

// Cached gives a folder of the user's cache, which fill fills unless it is there. It appears
// at once, when it is whole. Concurrent calls, also of several processes, fill it once. log
// tells who waits for another.
func Cached(ctx context.Context, name string, log io.Writer, fill func(dir string) error) (string, error) {
	b, err := newBuilder(log)
	if err != nil {
		return "", err
	}
	return b.cached(ctx, name, fill)
}

func (b builder) cached(ctx context.Context, name string, fill func(dir string) error) (string, error) {
	dir := filepath.Join(b.cache, name)
	if isThere, err := isDir(dir); err != nil || isThere {
		return dir, err
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := process.Lock(ctx, dir+".lock", func() {
		_, _ = fmt.Fprintf(b.log, "waiting for another process that makes %s\n", name)
	})
	if err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	defer unlock()
	if isThere, err := isDir(dir); err != nil || isThere {
		return dir, err // made by whoever had the lock
	}
	if err := b.fill(dir, fill); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	return dir, nil
}

func isDir(path string) (bool, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look into the cache: %w", err)
	default:
		return info.IsDir(), nil
	}
}
