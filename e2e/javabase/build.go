package javabase

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"module-controller/e2e/process"
)

// sources is the Maven project. It names its folders one by one, so that what
// a build by hand left in target is not part of it.
//
//go:embed pom.xml base/pom.xml base/src orders/pom.xml orders/src stock/pom.xml stock/src hello/pom.xml hello/src
var sources embed.FS

// The modules that are built. Each jar's name tells what its manifest says.
var modules = []struct{ name, version string }{
	{"orders", "1.0.0"}, // a web module on a free port
	{"orders", "2.0.0"}, // another version of it
	{"orders", "3.0.0"}, // its main throws "no stock today"
	{"stock", "1.0.0"},  // a web module on a fixed port
	{"stock", "2.0.0"},  // cannot start beside it
	{"hello", "1.0.0"},  // without Spring
}

// Artifacts are the jars of a base and its modules, built for one runtime.
type Artifacts struct {
	Runtime Runtime
	dir     string
}

// Module gives the file URL of a module's jar. The file need not exist: a jar
// that is missing is a case to test as well.
func (a Artifacts) Module(name, version string) string {
	return "file://" + a.modulePath(name, version)
}

func (a Artifacts) modulePath(name, version string) string {
	return filepath.Join(a.dir, name+"-"+version+"-ark-biz.jar")
}

func (a Artifacts) basePath() string { return filepath.Join(a.dir, "base.jar") }

// Build gives the jars for a runtime. It builds them with Maven, which downloads
// what it needs, unless the user's cache directory has them from the same sources;
// then it starts no process. What it builds, and Maven's output if that fails, it
// writes to log. Concurrent calls, also of several processes, build once.
func Build(ctx context.Context, r Runtime, log io.Writer) (Artifacts, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Artifacts{}, fmt.Errorf("find the cache directory: %w", err)
	}
	return buildIn(ctx, filepath.Join(cache, "module-controller", "javabase"), r, log)
}

func buildIn(ctx context.Context, root string, r Runtime, log io.Writer) (Artifacts, error) {
	sum, err := fingerprint(sources, r)
	if err != nil {
		return Artifacts{}, err
	}
	a := Artifacts{Runtime: r, dir: filepath.Join(root, r.String()+"-"+sum)}
	if a.complete() {
		return a, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return Artifacts{}, fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := process.Lock(ctx, a.dir+".lock", func() {})
	if err != nil {
		return Artifacts{}, err
	}
	defer unlock()
	if a.complete() {
		return a, nil // by whoever had the lock
	}
	if err := a.build(ctx, log); err != nil {
		return Artifacts{}, fmt.Errorf("build a java base for %s: %w", r, err)
	}
	return a, nil
}

// complete reports whether the jars are there. The directory appears at once,
// when all of them are in it.
func (a Artifacts) complete() bool {
	_, err := os.Stat(a.basePath())
	return err == nil
}

// build builds the jars in a directory that whoever holds the lock has for itself.
func (a Artifacts) build(ctx context.Context, log io.Writer) error {
	work := a.dir + ".build"
	if err := os.RemoveAll(work); err != nil { // left by a build that was killed
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.CopyFS(filepath.Join(work, "src"), sources); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(log, "building a java base and its modules for %s with maven (about a minute, more if it must download)\n", a.Runtime)
	began := time.Now()
	if err := maven(ctx, filepath.Join(work, "src"), a.Runtime, log); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(log, "built in %s\n", time.Since(began).Round(time.Second))
	return a.collect(work)
}

// collect puts the jars from work/src where they belong, in one step.
func (a Artifacts) collect(work string) error {
	out := Artifacts{dir: filepath.Join(work, "out")}
	if err := os.Mkdir(out.dir, 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "src", "base", "target", "base.jar"), out.basePath()); err != nil {
		return err
	}
	for _, m := range modules {
		to := out.modulePath(m.name, m.version)
		from := filepath.Join(work, "src", m.name, "target", "modules", filepath.Base(to))
		if err := os.Rename(from, to); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(a.dir); err != nil {
		return err
	}
	return os.Rename(out.dir, a.dir)
}

func maven(ctx context.Context, dir string, r Runtime, log io.Writer) error {
	var out bytes.Buffer // the packer of modules is not quiet
	cmd := exec.Command("mvn", append([]string{"-q", "-B", "package"}, r.mavenArgs()...)...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := process.Run(ctx, cmd); err != nil {
		_, _ = log.Write(out.Bytes())
		return fmt.Errorf("run maven: %w", err)
	}
	return nil
}

// fingerprint names the sources and the versions they are built with, in 12 digits.
func fingerprint(src fs.FS, r Runtime) (string, error) {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, r.mavenArgs())
	err := fs.WalkDir(src, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(src, path)
		_, _ = fmt.Fprintln(h, path, len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the sources of the java base: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}
