package harness

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Binaries are the product's programs, built from the working tree.
type Binaries struct{ Controller, Sim, Modules string }

// Root is the product's folder, two above this file.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Build builds the programs into dir and says so on log. The Go build cache makes
// it quick where nothing changed.
func Build(ctx context.Context, dir string, log io.Writer) (Binaries, error) {
	b := Binaries{Controller: filepath.Join(dir, "module-controller"), Sim: filepath.Join(dir, "basesim"), Modules: filepath.Join(dir, "kubectl-modules")}
	_, _ = fmt.Fprintln(log, "building module-controller, kubectl-modules and basesim (a minute or two the first time)")
	return b, build(ctx, "-o", dir+string(filepath.Separator), "./cmd/...")
}

// Fetch fetches the modules of which Build builds the programs, so that Build needs no network.
func Fetch(ctx context.Context) error {
	_, err := run(ctx, "mod", "download")
	return err
}

// BuildOne builds one program of cmd into dir, says so on log, and gives its path. What
// has few imports, as basesim, is soon built.
func BuildOne(ctx context.Context, dir, name string, log io.Writer) (string, error) {
	path := filepath.Join(dir, name)
	_, _ = fmt.Fprintf(log, "building %s (at most a minute or two the first time)\n", name)
	return path, build(ctx, "-o", path, "./cmd/"+name)
}

// BuildMutant builds a controller without a guard, which mutants/<name>.patch takes out,
// and gives its path in dir. The working tree stays as it is: the compiler gets the
// patched files by an overlay.
func BuildMutant(ctx context.Context, dir, name string) (string, error) {
	patched := filepath.Join(dir, "mutant-"+name)
	if err := os.MkdirAll(patched, 0o755); err != nil {
		return "", fmt.Errorf("build mutant %s: %w", name, err)
	}
	overlay, err := run(ctx, "-C", "tools", "run", "./mutate", "-root", "..", "-dir", patched, name)
	if err != nil {
		return "", fmt.Errorf("build mutant %s: %w", name, err)
	}
	path := filepath.Join(patched, "module-controller")
	if err := build(ctx, "-overlay", strings.TrimSpace(overlay), "-o", path, "./cmd/module-controller"); err != nil {
		return "", fmt.Errorf("build mutant %s: %w", name, err)
	}
	return path, nil
}

func build(ctx context.Context, args ...string) error {
	_, err := run(ctx, append([]string{"build"}, args...)...)
	return err
}

// run runs the go command in the product's folder, and gives its output.
func run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = Root()
	// A compiler that seldom collects its garbage is done sooner, of the same result.
	cmd.Env = append(os.Environ(), "GOGC="+cmp.Or(os.Getenv("GOGC"), "400"), "GOMEMLIMIT="+cmp.Or(os.Getenv("GOMEMLIMIT"), "3GiB"))
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, faults.String())
	}
	return string(out), nil
}
