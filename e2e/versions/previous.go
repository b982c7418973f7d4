// Package versions runs the version before this one beside it, as in an upgrade and in the
// way back. previous.txt has its commit: that of the last release, or of what landed last.
package versions

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

//go:embed previous.txt
var previous string

// Version is a version of the product that was built of its commit.
type Version struct {
	// Name is what it says of itself: the beginning of its commit.
	Name string
	// Program is the path of its controller, Manifests the folder of its manifests.
	Program, Manifests string
}

// Previous gives the version before this one, which it builds of this repository's history
// unless the user's cache has it: see controlplane.Cached. It says so on log.
func Previous(ctx context.Context, log io.Writer) (Version, error) {
	return build(ctx, harness.Root(), strings.TrimSpace(previous), log)
}

var commitForm = regexp.MustCompile("^[0-9a-f]{40}$")

// build builds the version of a commit that a repository has.
func build(ctx context.Context, repository, commit string, log io.Writer) (Version, error) {
	if !commitForm.MatchString(commit) {
		return Version{}, fmt.Errorf("e2e/versions/previous.txt must have the 40 digits of a commit, is %q", commit)
	}
	v := Version{Name: commit[:12]}
	dir, err := controlplane.Cached(ctx, "previous-"+v.Name, log, func(dir string) error {
		_, _ = fmt.Fprintf(log, "building the version before, %s (a minute or two, once)\n", v.Name)
		return v.fill(ctx, repository, commit, dir)
	})
	v.Program, v.Manifests = filepath.Join(dir, "module-controller"), filepath.Join(dir, "manifests")
	return v, err
}

// fill has a folder filled with the program and the manifests of a commit.
func (v Version) fill(ctx context.Context, repository, commit, dir string) error {
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	if err := extract(ctx, repository, commit, source); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version="+v.Name, "-o", filepath.Join(dir, "module-controller"), "./cmd/module-controller")
	build.Dir = source
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if _, err := process.Output(ctx, build); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(source, "manifests"), filepath.Join(dir, "manifests")), os.RemoveAll(source))
}

// extract puts the files of a commit into a folder.
func extract(ctx context.Context, repository, commit, dir string) error {
	archive := dir + ".tar"
	defer func() { _ = os.Remove(archive) }()
	_, err := process.Output(ctx, exec.Command("git", "-C", repository, "archive", "--output", archive, commit))
	if err != nil {
		return fmt.Errorf("%w\nfetch the whole history where this is a shallow clone: git fetch --unshallow", err)
	}
	_, err = process.Output(ctx, exec.Command("tar", "-x", "-C", dir, "-f", archive))
	return err
}
