package versions

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newRepository makes a repository with one commit, which has a program.
func newRepository(t *testing.T) (dir, commit string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                          "module module-controller\n\ngo 1.26\n",
		"cmd/module-controller/main.go":   "package main\n\nimport \"fmt\"\n\nvar version = \"dev\"\n\nfunc main() { fmt.Println(version) }\n",
		"manifests/statefulset.yaml":      "kind: StatefulSet\n",
		"cmd/module-controller/other.txt": "not of the program\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "--quiet")
	git(t, dir, "add", ".")
	git(t, dir, "-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--message", "one")
	return dir, strings.TrimSpace(git(t, dir, "rev-parse", "HEAD"))
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", args, err, out)
	}
	return string(out)
}

// inCache has what is built go to a cache of the test's own. The compiler's stays.
func inCache(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(out)))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

// A version is built of its commit, whatever the working tree has, and once.
func TestAVersionIsBuiltOfItsCommit(t *testing.T) {
	inCache(t)
	repository, commit := newRepository(t)
	if err := os.WriteFile(filepath.Join(repository, "cmd/module-controller/main.go"), []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, says := range []string{"building the version before", ""} {
		var log bytes.Buffer
		v, err := build(t.Context(), repository, commit, &log)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(log.String(), says) || says == "" && log.Len() > 0 {
			t.Errorf("time %d: it says %q, want %q", n+1, log.String(), says)
		}
		out, err := exec.CommandContext(t.Context(), v.Program).Output()
		if err != nil || strings.TrimSpace(string(out)) != commit[:12] {
			t.Errorf("the program says %q (%v), want %s", out, err, commit[:12])
		}
		if _, err := os.Stat(filepath.Join(v.Manifests, "statefulset.yaml")); err != nil {
			t.Error(err)
		}
	}
}

// What cannot be built leaves nothing that would be taken for it, and says what to do.
func TestAVersionThatIsNotThere(t *testing.T) {
	inCache(t)
	repository, _ := newRepository(t)
	for commit, want := range map[string]string{
		"v1":                    "must have the 40 digits of a commit",
		strings.Repeat("0", 40): "git fetch --unshallow",
	} {
		for range 2 {
			if _, err := build(t.Context(), repository, commit, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", commit, err, want)
			}
		}
	}
}

// The build is given up with its context.
func TestABuildEnds(t *testing.T) {
	inCache(t)
	repository, commit := newRepository(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := build(ctx, repository, commit, &bytes.Buffer{}); err == nil {
		t.Error("it was built after the end of its context")
	}
}

// The version before is one of this repository's history.
func TestThePreviousVersionIsOfThisHistory(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", filepath.Join("..", ".."), "merge-base", "--is-ancestor", strings.TrimSpace(previous), "HEAD").CombinedOutput()
	if err != nil {
		t.Errorf("%s is no ancestor of HEAD: %v: %s", strings.TrimSpace(previous), err, out)
	}
}

// The page that says what the version before does otherwise is about that version.
func TestThePageIsAboutThePreviousVersion(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "upgrading.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "**What the version before does otherwise with these** (" + previous[:7] + ")"; !strings.Contains(string(page), want) {
		t.Errorf("docs/upgrading.md does not say %q", want)
	}
}
