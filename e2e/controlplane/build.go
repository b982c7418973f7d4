package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"module-controller/e2e/process"
)

// Build gives the path of each program of a Kubernetes version, and builds those
// that neither the folder AssetsVariable names nor the cache has. It says on log
// what it builds and about how long that takes. Concurrent calls, also of several
// processes, build once.
func Build(ctx context.Context, version string, log io.Writer) (map[string]string, error) {
	b, err := newBuilder(log)
	if err != nil {
		return nil, err
	}
	return b.build(ctx, version)
}

// builder fills the cache.
type builder struct {
	cache, assets string
	log           io.Writer
	// goTool builds a program into a file.
	goTool func(ctx context.Context, p program, file string) error
}

// newBuilder gives the builder for the user's cache directory.
func newBuilder(log io.Writer) (builder, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return builder{}, fmt.Errorf("find the cache directory: %w", err)
	}
	return builder{
		cache:  filepath.Join(cache, "module-controller"),
		assets: os.Getenv(AssetsVariable),
		log:    log,
		goTool: goBuild,
	}, nil
}

func (b builder) build(ctx context.Context, version string) (map[string]string, error) {
	all, err := programs(version)
	if err != nil {
		return nil, err
	}
	paths := make(map[string]string, len(all))
	for _, p := range all {
		if paths[p.name], err = b.path(ctx, p); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// path gives the program's file, which it builds unless it is there.
func (b builder) path(ctx context.Context, p program) (string, error) {
	if asset := filepath.Join(b.assets, p.name); b.assets != "" && isFile(asset) {
		return filepath.Abs(asset)
	}
	dir := filepath.Join(b.cache, p.product+"-"+p.version)
	file := filepath.Join(dir, p.name)
	if isFile(file) {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := process.Lock(ctx, dir+".lock", func() {
		_, _ = fmt.Fprintf(b.log, "waiting for another process that builds %s %s\n", p.product, p.version)
	})
	if err != nil {
		return "", fmt.Errorf("build %s: %w", p.name, err)
	}
	defer unlock()
	if isFile(file) {
		return file, nil // built by whoever had the lock
	}
	return file, b.make(ctx, p, file)
}

// make builds the program beside file and renames it, so that file is whole.
func (b builder) make(ctx context.Context, p program, file string) error {
	_, _ = fmt.Fprintf(b.log, "building %s %s, about %.0f min on 2 cores where nothing is cached, once: it is kept in %s\n",
		p.name, p.version, p.takes.Minutes(), filepath.Dir(file))
	began := time.Now()
	partial := file + ".partial" // the lock is ours, so nobody else writes it
	defer func() { _ = os.Remove(partial) }()
	if err := b.goTool(ctx, p, partial); err != nil {
		return fmt.Errorf("build %s %s: %w", p.name, p.version, err)
	}
	if err := os.Rename(partial, file); err != nil {
		return fmt.Errorf("build %s %s: %w", p.name, p.version, err)
	}
	_, _ = fmt.Fprintf(b.log, "built %s %s in %s\n", p.name, p.version, time.Since(began).Round(time.Second))
	return nil
}

// goBuild builds with the go command. The caller's build flags don't count, so that
// one cached program serves all.
func goBuild(ctx context.Context, p program, file string) error {
	dir, err := p.source()
	if err != nil {
		return err
	}
	var output bytes.Buffer
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", p.ldflags, "-o", file, p.pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS=", "GOARCH=")
	cmd.Stdout, cmd.Stderr = &output, &output
	// As a process of ours it ends when we are killed, and keeps no cores busy.
	if err := process.Run(ctx, cmd); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", p.pkg, err, output.Bytes())
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
