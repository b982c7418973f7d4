//go:build moving

package moving

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/process"
)

const (
	// tag names the version that is moved from, and commit is what the tag stands for.
	tag    = "v2.2.0"
	commit = "54dbf46e376f5e02176babd47626fa4e1cc2f527"
	source = "https://github.com/koupleless/module-controller"
	// sourceVariable names another repository with the tag: a URL, a git directory or a checkout.
	sourceVariable = "THEIRS_SOURCE"
)

// build gives the path of the program, which it builds unless the user's cache has it: see
// controlplane.Cached. It says so on log. What it consists of comes from the Go module proxy,
// as its go.sum says.
func build(ctx context.Context, log io.Writer) (string, error) {
	dir, err := controlplane.Cached(ctx, "theirs-"+tag+"-"+commit[:12], log, func(dir string) error {
		from := cmp.Or(os.Getenv(sourceVariable), source)
		_, _ = fmt.Fprintf(log, "building module-controller %s of %s (2 to 3 minutes, once)\n", tag, from)
		return fill(ctx, from, dir)
	})
	return filepath.Join(dir, "module-controller"), err
}

// fill has a folder filled with the program.
func fill(ctx context.Context, from, dir string) error {
	checkout := filepath.Join(dir, "source")
	if _, err := run(ctx, "", "git", "clone", "--quiet", "--depth", "1", "--branch", tag, from, checkout); err != nil {
		return fmt.Errorf("%w\n%s may name a repository that has the tag", err, sourceVariable)
	}
	is, err := run(ctx, checkout, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if is = strings.TrimSpace(is); is != commit {
		return fmt.Errorf("%s of %s is %s, not %s", tag, from, is, commit)
	}
	if _, err := run(ctx, checkout, "go", "build", "-mod=readonly", "-buildvcs=false", "-o", filepath.Join(dir, "module-controller"), "./cmd/module-controller"); err != nil {
		return err
	}
	return os.RemoveAll(checkout)
}

// run runs a command in a folder, and gives what it printed.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	return process.Output(ctx, cmd)
}
