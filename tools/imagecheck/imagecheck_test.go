package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// built are programs of each architecture that need no file: a test's own is linked with the
// system's library.
var built = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "imagecheck-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs := map[string][]byte{}
	for _, arch := range both {
		path := filepath.Join(dir, arch)
		cmd := exec.Command("go", "build", "-o", path, "./testdata/program")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		if programs[arch], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return programs, nil
})

var both = []string{"amd64", "arm64"}

// unrunnable gives the program without the address at which it begins.
func unrunnable(program []byte) []byte {
	program = bytes.Clone(program)
	clear(program[24:32])
	return program
}

// layout writes an OCI archive.
type layout struct {
	blobs map[string][]byte
}

func (l *layout) add(content []byte) map[string]any {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	l.blobs["blobs/"+strings.Replace(digest, ":", "/", 1)] = content
	return map[string]any{"digest": digest, "size": len(content)}
}

func (l *layout) encode(t *testing.T, v any) map[string]any {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return l.add(content)
}

// parts are what a test makes an image of.
type parts struct {
	archs  []string
	user   string
	labels map[string]string
	// programs are by architecture; other files are beside each.
	programs, files map[string][]byte
	mode            int64
	// apart has the archive name the image of each architecture, as docker writes it.
	apart bool
}

// sound is an image without faults.
func sound(t *testing.T) parts {
	t.Helper()
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := parts{
		archs: both, user: "65532:65532", labels: map[string]string{},
		programs: maps.Clone(programs), files: map[string][]byte{}, mode: 0o755,
	}
	for _, l := range labels {
		p.labels["org.opencontainers.image."+l] = "x"
	}
	return p
}

// written gives the path of an archive.
func (p parts) written(t *testing.T) string {
	t.Helper()
	l := &layout{blobs: map[string][]byte{}}
	var images []any
	for _, arch := range p.archs {
		files := maps.Clone(p.files)
		if content, has := p.programs[arch]; has {
			files[program] = content
		}
		layer := l.add(tarred(t, files, p.mode))
		config := l.encode(t, map[string]any{"architecture": arch, "os": "linux", "config": map[string]any{
			"User": p.user, "Entrypoint": []string{"/" + program}, "Labels": p.labels,
		}})
		images = append(images, l.encode(t, map[string]any{"config": config, "layers": []any{layer}}))
	}
	if !p.apart {
		images = []any{l.encode(t, map[string]any{"manifests": images})}
	}
	index, err := json.Marshal(map[string]any{"manifests": images})
	if err != nil {
		t.Fatal(err)
	}
	l.blobs["index.json"] = index
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, tarred(t, l.blobs, 0o644), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func tarred(t *testing.T, files map[string][]byte, mode int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	var errs []error
	for name, content := range files {
		errs = append(errs, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}))
		_, err := io.Copy(w, bytes.NewReader(content))
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(*parts)
		want  string
	}{
		{"sound", func(*parts) {}, ""},
		{"sound, of docker", func(p *parts) { p.apart = true }, ""},
		{"root", func(p *parts) { p.user = "0:0" }, `its user is "0:0"`},
		{"a user by name", func(p *parts) { p.user = "nonroot" }, `its user is "nonroot"`},
		{"no user", func(p *parts) { p.user = "" }, `its user is ""`},
		{"no label", func(p *parts) { delete(p.labels, "org.opencontainers.image.version") }, "no label org.opencontainers.image.version"},
		{"a shell", func(p *parts) { p.files["bin/sh"] = nil }, "bin/sh"},
		{"no program", func(p *parts) { clear(p.programs) }, "want module-controller alone"},
		{"too large", func(p *parts) { p.programs["arm64"] = make([]byte, 65e6) }, "want at most"},
		{"not for all to run", func(p *parts) { p.mode = 0o700 }, "mode 700"},
		{"one architecture", func(p *parts) { p.archs = p.archs[:1] }, "no image for linux/arm64"},
		{"one architecture, of docker", func(p *parts) { p.archs, p.apart = p.archs[:1], true }, "no image for linux/arm64"},
		{"no architecture, of docker", func(p *parts) { p.archs, p.apart = nil, true }, "image.tar has no image"},
		{"one program for both", func(p *parts) { p.programs["arm64"] = p.programs["amd64"] }, "linux/arm64: its program is for EM_X86_64"},
		{"no program that can be read", func(p *parts) { p.programs["arm64"] = []byte("text") }, "read its program"},
		{"no program that runs", func(p *parts) { p.programs[runtime.GOARCH] = unrunnable(p.programs[runtime.GOARCH]) }, "run its program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := sound(t)
			tt.fault(&p)
			err := check([]string{p.written(t)}, both, 60e6, "v1")
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error is %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestCheckComparesBuilds(t *testing.T) {
	one, other := sound(t), sound(t)
	if err := check([]string{one.written(t), one.written(t)}, one.archs, 60e6, ""); err != nil {
		t.Errorf("the same twice: %v", err)
	}
	other.labels["org.opencontainers.image.version"] = "y"
	err := check([]string{one.written(t), other.written(t)}, one.archs, 60e6, "")
	if err == nil || !strings.Contains(err.Error(), "cannot be repeated") {
		t.Errorf("two that differ: %v", err)
	}
}

// In which order docker writes images is no difference.
func TestCheckComparesBuildsOfDocker(t *testing.T) {
	one, other := sound(t), sound(t)
	one.apart, other.apart, other.archs = true, true, []string{"arm64", "amd64"}
	if err := check([]string{one.written(t), other.written(t)}, both, 60e6, ""); err != nil {
		t.Errorf("the same in another order: %v", err)
	}
	other.labels["org.opencontainers.image.version"] = "y"
	err := check([]string{one.written(t), other.written(t)}, both, 60e6, "")
	if err == nil || !strings.Contains(err.Error(), "cannot be repeated") {
		t.Errorf("two that differ: %v", err)
	}
}

func TestCheckAsksTheProgram(t *testing.T) {
	p := sound(t)
	err := check([]string{p.written(t)}, p.archs, 60e6, "v2")
	if err == nil || !strings.Contains(err.Error(), `says "v1", want "v2"`) {
		t.Errorf("another version: %v", err)
	}
}

// Docker before version 25 writes an archive that is its own.
func TestOpenKnowsAnOldDocker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, tarred(t, map[string][]byte{"manifest.json": []byte("[]")}, 0o644), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(path); err == nil || !strings.Contains(err.Error(), "no OCI archive") {
		t.Errorf("error is %v, want what it is told by", err)
	}
}

// A blob that is not what its digest says is not believed.
func TestOpenKnowsDigests(t *testing.T) {
	path := sound(t).written(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// All of them, since which architecture's comes first is the archive's affair.
	spoilt := bytes.ReplaceAll(content, []byte(`"65532:65532"`), []byte(`"65532:65533"`))
	if err := os.WriteFile(path, spoilt, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := check([]string{path}, []string{"amd64"}, 60e6, ""); err == nil || !strings.Contains(err.Error(), "has digest") {
		t.Errorf("a spoilt blob: %v", err)
	}
}
