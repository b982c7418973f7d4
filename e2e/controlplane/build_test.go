package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeBuilder builds programs that hold their own names.
func fakeBuilder(t *testing.T) (b builder, builds *atomic.Int32) {
	t.Helper()
	builds = new(atomic.Int32)
	return builder{cache: t.TempDir(), log: t.Output(), goTool: func(_ context.Context, p program, file string) error {
		builds.Add(1)
		return os.WriteFile(file, []byte(p.name), 0o755)
	}}, builds
}

// waiters counts the callers that say they wait, and closes all when they are n.
type waiters struct {
	n   atomic.Int32
	all chan struct{}
}

func (w *waiters) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("waiting for another")) && w.n.Add(-1) == 0 {
		close(w.all)
	}
	return len(line), nil
}

func TestBuildOnce(t *testing.T) {
	b, builds := fakeBuilder(t)
	const callers = 8
	others := &waiters{all: make(chan struct{})}
	others.n.Store(callers - 1)
	b.log = others
	good := b.goTool
	b.goTool = func(ctx context.Context, p program, file string) error {
		<-others.all // the first build ends when all others have come too late
		return good(ctx, p, file)
	}
	var builders sync.WaitGroup
	for range callers {
		builders.Go(func() {
			if _, err := b.build(t.Context(), KubernetesVersion); err != nil {
				t.Error(err)
			}
		})
	}
	builders.Wait()
	if n := builds.Load(); n != 5 {
		t.Errorf("%d callers built %d programs, want each of 5 once", callers, n)
	}
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	kubernetes := filepath.Join(b.cache, "kubernetes-"+KubernetesVersion)
	want := map[string]string{
		"etcd":                    filepath.Join(b.cache, "etcd-"+EtcdVersion, "etcd"),
		"kube-apiserver":          filepath.Join(kubernetes, "kube-apiserver"),
		"kube-controller-manager": filepath.Join(kubernetes, "kube-controller-manager"),
		"kube-scheduler":          filepath.Join(kubernetes, "kube-scheduler"),
		"kubectl":                 filepath.Join(kubernetes, "kubectl"),
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	for name, path := range paths {
		if content, err := os.ReadFile(path); err != nil || string(content) != name {
			t.Errorf("%s holds %q (%v)", path, content, err)
		}
	}
}

func TestBuildAnotherVersionAside(t *testing.T) {
	b, builds := fakeBuilder(t)
	for _, version := range []string{"1.37.2", "1.34.4", "1.37.2"} {
		if _, err := b.build(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	if n := builds.Load(); n != 9 {
		t.Errorf("two versions took %d builds, want 4 each and etcd", n)
	}
}

func TestBuildSaysWhatItDoes(t *testing.T) {
	b, _ := fakeBuilder(t)
	var log bytes.Buffer
	b.log = &log
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil {
		t.Fatal(err)
	}
	want := "building kube-apiserver " + KubernetesVersion + ", about 6 min"
	if !strings.Contains(log.String(), want) {
		t.Errorf("log is %q, want %q in it", log.String(), want)
	}
	log.Reset()
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("with all cached the log is %q", log.String())
	}
}

func TestBuildFails(t *testing.T) {
	b, _ := fakeBuilder(t)
	good, broken := b.goTool, errors.New("no compiler")
	b.goTool = func(ctx context.Context, p program, file string) error {
		return errors.Join(good(ctx, p, file), broken) // half a file is there
	}
	if _, err := b.build(t.Context(), KubernetesVersion); !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
	left, err := filepath.Glob(filepath.Join(b.cache, "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("a failed build left %v (%v)", left, err)
	}
	b.goTool = good
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

func TestBuildTakesAssets(t *testing.T) {
	b, builds := fakeBuilder(t)
	b.assets = t.TempDir()
	asset := filepath.Join(b.assets, "kube-apiserver")
	if err := os.WriteFile(asset, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	if paths["kube-apiserver"] != asset || builds.Load() != 4 {
		t.Errorf("kube-apiserver is %s after %d builds, want %s after 4", paths["kube-apiserver"], builds.Load(), asset)
	}
}

// The tool modules pin what the constants and the second version name.
func TestProgramsArePinned(t *testing.T) {
	for _, version := range []string{KubernetesVersion, "1.34.4"} {
		all, err := programs(version)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(all, kwok, helm) {
			if _, err := p.source(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, version := range []string{"1.37.999", "1.2.3", "1.37", ""} {
		all, err := programs(version)
		if err == nil {
			_, err = all[len(all)-1].source()
		}
		if err == nil {
			t.Errorf("version %q is taken for pinned", version)
		}
	}
}

func TestVersion(t *testing.T) {
	for set, want := range map[string]string{"": KubernetesVersion, "1.34.4": "1.34.4", "v1.34.4": "1.34.4"} {
		t.Setenv(VersionVariable, set)
		if got := Version(); got != want {
			t.Errorf("with %s=%q the version is %s, want %s", VersionVariable, set, got, want)
		}
	}
}

func TestCheckSkew(t *testing.T) {
	said := func(version string) string {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\necho Kubernetes %s\n", version), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name, assets, api, controllers string
		refused                        bool
	}{
		{"all built", "", "v1.36.0", "v1.37.2", false}, // nobody is asked
		{"same minor", "/assets", "v1.37.0", "v1.37.2", false},
		{"other minor", "/assets", "v1.3.7", "v1.37.2", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(AssetsVariable, tt.assets)
			err := checkSkew(t.Context(), map[string]string{
				string(APIServer):         said(tt.api),
				string(ControllerManager): said(tt.controllers),
				string(Scheduler):         said(tt.controllers),
			})
			if (err != nil) != tt.refused {
				t.Errorf("API server %s, controllers %s: %v", tt.api, tt.controllers, err)
			}
		})
	}
}
