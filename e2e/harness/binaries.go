package harness

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Binaries are the product's programs, built from the working tree.
type Binaries struct{ Controller, Sim string }

// Root is the product's folder, two above this file.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Build builds the programs into dir and says so on log. The Go build cache makes
// it quick where nothing changed.
func Build(ctx context.Context, dir string, log io.Writer) (Binaries, error) {
	b := Binaries{Controller: filepath.Join(dir, "module-controller"), Sim: filepath.Join(dir, "basesim")}
	_, _ = fmt.Fprintln(log, "building module-controller and basesim (a minute or two the first time)")
	return b, build(ctx, "-o", dir+string(filepath.Separator), "./cmd/...")
}

// BuildMutant builds a controller that lacks a guard of the package at pkg, such as
// "tunnel/mqtt", and gives its path in dir.
func BuildMutant(ctx context.Context, dir, pkg, guard string) (string, error) {
	path := filepath.Join(dir, "without-"+guard)
	return path, build(ctx, "-tags", "mutant", "-ldflags", "-X module-controller/"+pkg+".mutant="+guard, "-o", path, "./cmd/module-controller")
}

func build(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build programs: %w\n%s", err, out)
	}
	return nil
}
