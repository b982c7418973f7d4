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
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("build programs: %w\n%s", err, out)
	}
	return b, nil
}
