package controlplane

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"module-controller/e2e/process"
)

// Build gives the path of each program of a Kubernetes version. Those that neither the
// folder AssetsVariable names nor the cache has it fetches as their makers publish them,
// or builds where it cannot. It says on log what it does and about how long that takes.
// Concurrent calls, also of several processes, do it once.
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
	// before is called before a product is built, unless it is nil.
	before func(context.Context) error
	// goTool builds a product into a file.
	goTool func(ctx context.Context, p product, file string) error
	// fetch fetches a product's programs into a folder.
	fetch func(ctx context.Context, p product, dir string) error
	// interval is between two words that a build goes on.
	interval time.Duration
}

// newBuilder gives the builder for the user's cache directory.
func newBuilder(log io.Writer) (builder, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return builder{}, fmt.Errorf("find the cache directory: %w", err)
	}
	return builder{
		cache:    filepath.Join(cache, "module-controller"),
		assets:   os.Getenv(AssetsVariable),
		log:      log,
		goTool:   goBuild,
		fetch:    newFetcher(log).fetch,
		interval: time.Minute,
	}, nil
}

func (b builder) build(ctx context.Context, version string) (map[string]string, error) {
	all, err := products(version)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, p := range all {
		if err := b.add(ctx, paths, p); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// add adds the paths of the product's programs, which it makes unless they are there.
func (b builder) add(ctx context.Context, paths map[string]string, p product) error {
	var missing []string
	for _, name := range p.programs {
		asset := filepath.Join(b.assets, name)
		if b.assets == "" || !isFile(asset) {
			missing = append(missing, name)
			continue
		}
		var err error
		if paths[name], err = filepath.Abs(asset); err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	dir, err := b.folder(ctx, p)
	for _, name := range missing {
		paths[name] = filepath.Join(dir, name)
	}
	return err
}

// folder gives the folder with all programs of a product, which it fills unless it is
// there. A folder appears at once, when all programs are in it.
func (b builder) folder(ctx context.Context, p product) (string, error) {
	if dir := b.find(p); dir != "" {
		return dir, nil
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := process.Lock(ctx, filepath.Join(b.cache, p.name+"-"+p.version+".lock"), func() {
		_, _ = fmt.Fprintf(b.log, "waiting for another process that makes %s %s\n", p.name, p.version)
	})
	if err != nil {
		return "", fmt.Errorf("make %s %s: %w", p.name, p.version, err)
	}
	defer unlock()
	if dir := b.find(p); dir != "" {
		return dir, nil // made by whoever had the lock
	}
	return b.make(ctx, p)
}

// fetched is where the product's programs are that their makers published.
func (b builder) fetched(p product) string {
	return filepath.Join(b.cache, p.name+"-"+p.version+"-released-"+platform)
}

// built is where the product is that was built as its tool module and its recipe say.
func (b builder) built(p product) (string, error) {
	source, err := p.source()
	if err != nil {
		return "", err
	}
	recipe, err := p.recipe(source)
	return filepath.Join(b.cache, p.name+"-"+p.version+"-"+recipe), err
}

// find gives the folder that has the product, or "" where none does.
func (b builder) find(p product) string {
	folders := []string{b.fetched(p)}
	if built, err := b.built(p); err == nil {
		folders = append(folders, built)
	}
	i := slices.IndexFunc(folders, p.complete)
	if i < 0 {
		return ""
	}
	return folders[i]
}

// make fetches a product, or builds it where it cannot be fetched.
func (b builder) make(ctx context.Context, p product) (string, error) {
	fetched := b.fetched(p)
	why := b.fill(fetched, func(work string) error { return b.fetch(ctx, p, work) })
	if why == nil {
		return fetched, nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("fetch %s %s: %w", p.name, p.version, why)
	}
	if !errors.Is(why, errUnpublished) {
		_, _ = fmt.Fprintf(b.log, "cannot fetch %s %s, so it is built: %v\n", p.name, p.version, why)
	}
	built, err := b.built(p)
	if err == nil && b.before != nil {
		err = b.before(ctx)
	}
	if err == nil {
		_, _ = fmt.Fprintf(b.log, "building %s %s, about %s on 2 cores where nothing is cached, once: it is kept in %s\n",
			p.name, p.version, minutes(p.takes), built)
		err = b.fill(built, func(work string) error { return b.compile(ctx, p, work) })
	}
	if err != nil {
		return "", fmt.Errorf("build %s %s: %w", p.name, p.version, err)
	}
	return built, nil
}

// fill has a folder filled beside dir, and renames it, so that dir is whole.
func (b builder) fill(dir string, with func(work string) error) error {
	work := dir + ".partial" // the lock is ours, so nobody else writes it
	defer func() { _ = os.RemoveAll(work) }()
	// Left by who was killed, or by who took a program out.
	if err := errors.Join(os.RemoveAll(work), os.RemoveAll(dir), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	if err := with(work); err != nil {
		return err
	}
	return os.Rename(work, dir)
}

// compile builds the product in a folder, where each of its names leads to it.
func (b builder) compile(ctx context.Context, p product, dir string) error {
	began := time.Now()
	stop := b.tell(p, began)
	err := b.goTool(ctx, p, filepath.Join(dir, p.name))
	stop()
	if err != nil {
		return err
	}
	for _, name := range p.programs {
		if name == p.name {
			continue
		}
		if err := os.Symlink(p.name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(b.log, "built %s %s in %s\n", p.name, p.version, time.Since(began).Round(time.Second))
	return nil
}

// tell says from time to time that a build goes on, until it is stopped.
func (b builder) tell(p product, began time.Time) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(cmp.Or(b.interval, time.Minute))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = fmt.Fprintf(b.log, "building %s %s: %s so far, of about %s\n",
					p.name, p.version, time.Since(began).Round(time.Second), minutes(p.takes))
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func minutes(d time.Duration) string { return fmt.Sprintf("%.0f min", d.Minutes()) }

// goBuild builds with the go command. The caller's build flags don't count, so that
// one cached program serves all.
func goBuild(ctx context.Context, p product, file string) error {
	dir, err := p.source()
	if err != nil {
		return err
	}
	var output bytes.Buffer
	cmd := exec.Command("go", p.arguments(file)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS=", "GOARCH=",
		"CGO_ENABLED=0", // as its makers do
		// A compiler that seldom collects its garbage is done sooner, of the same result.
		"GOGC="+cmp.Or(os.Getenv("GOGC"), "400"), "GOMEMLIMIT="+cmp.Or(os.Getenv("GOMEMLIMIT"), "3GiB"))
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
