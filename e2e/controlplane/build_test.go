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
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeBuilder builds products that hold their own names, and fetches none.
func fakeBuilder(t *testing.T) (b builder, builds *atomic.Int32) {
	t.Helper()
	builds = new(atomic.Int32)
	return builder{
		cache: t.TempDir(), log: t.Output(),
		goTool: func(_ context.Context, p product, file string) error {
			builds.Add(1)
			return os.WriteFile(file, []byte(p.name), 0o755)
		},
		fetch: func(context.Context, product, string) error { return errUnpublished },
	}, builds
}

// folderOf is where the builder keeps what it built.
func folderOf(t *testing.T, b builder, p product) string {
	t.Helper()
	dir, err := b.built(p)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// productsOf lists what is built for a version.
func productsOf(t *testing.T, version string) (etcd, kubernetes product) {
	t.Helper()
	all, err := products(version)
	if err != nil {
		t.Fatal(err)
	}
	return all[0], all[1]
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
	b.goTool = func(ctx context.Context, p product, file string) error {
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
	if n := builds.Load(); n != 2 {
		t.Errorf("%d callers built %d products, want etcd and Kubernetes once", callers, n)
	}
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	etcd, kubernetes := productsOf(t, KubernetesVersion)
	want := map[string]string{
		"etcd":                    filepath.Join(folderOf(t, b, etcd), "etcd"),
		"kube-apiserver":          filepath.Join(folderOf(t, b, kubernetes), "kube-apiserver"),
		"kube-controller-manager": filepath.Join(folderOf(t, b, kubernetes), "kube-controller-manager"),
		"kube-scheduler":          filepath.Join(folderOf(t, b, kubernetes), "kube-scheduler"),
		"kubectl":                 filepath.Join(folderOf(t, b, kubernetes), "kubectl"),
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	for name, path := range paths {
		product := "kubernetes"
		if name == "etcd" {
			product = "etcd"
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != product {
			t.Errorf("%s holds %q (%v), want %q", path, content, err, product)
		}
	}
}

// What another recipe made is not taken, and neither is what came before recipes: a
// program of its own for each component.
func TestBuildTakesNothingOfAnotherRecipe(t *testing.T) {
	b, builds := fakeBuilder(t)
	_, kubernetes := productsOf(t, KubernetesVersion)
	for _, folder := range []string{"", "-0123456789ab"} {
		dir := filepath.Join(b.cache, "kubernetes-"+KubernetesVersion+folder)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range kubernetes.programs {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(paths["kube-apiserver"]); err != nil || string(content) != "kubernetes" || builds.Load() != 2 {
		t.Errorf("%s holds %q (%v) after %d builds, want what was built", paths["kube-apiserver"], content, err, builds.Load())
	}
	other := kubernetes
	other.ldflags = "-s"
	if one, another := folderOf(t, b, kubernetes), folderOf(t, b, other); one == another {
		t.Errorf("both recipes build into %s", one)
	}
}

// A folder without one of its programs is no cached product.
func TestBuildCompletes(t *testing.T) {
	b, builds := fakeBuilder(t)
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(paths["kubectl"]); err != nil {
		t.Fatal(err)
	}
	again, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	if !isFile(again["kubectl"]) || builds.Load() != 3 {
		t.Errorf("%s is there: %t, after %d builds, want it after 3", again["kubectl"], isFile(again["kubectl"]), builds.Load())
	}
}

func TestBuildAnotherVersionAside(t *testing.T) {
	b, builds := fakeBuilder(t)
	for _, version := range []string{"1.37.2", "1.34.4", "1.37.2"} {
		if _, err := b.build(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	if n := builds.Load(); n != 3 {
		t.Errorf("two versions took %d builds, want one each and etcd", n)
	}
}

func TestBuildSaysWhatItDoes(t *testing.T) {
	b, _ := fakeBuilder(t)
	var log bytes.Buffer
	b.log = &log
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil {
		t.Fatal(err)
	}
	_, kubernetes := productsOf(t, KubernetesVersion)
	want := "building kubernetes " + KubernetesVersion + ", about " + minutes(kubernetes.takes)
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

// said is a log that is closed once it has a word.
type said struct {
	word string
	once sync.Once
	done chan struct{}
}

func (s *said) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(s.word)) {
		s.once.Do(func() { close(s.done) })
	}
	return len(line), nil
}

func TestBuildSaysThatItGoesOn(t *testing.T) {
	b, _ := fakeBuilder(t)
	log := &said{word: "so far, of about", done: make(chan struct{})}
	b.log, b.interval = log, time.Millisecond
	good := b.goTool
	b.goTool = func(ctx context.Context, p product, file string) error {
		<-log.done // a build that waits for the word
		return good(ctx, p, file)
	}
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil {
		t.Fatal(err)
	}
}

// Who compiles the same packages may be waited for before a build, and before nothing else.
func TestBuildWaits(t *testing.T) {
	m := newMakers(t)
	kubernetes := publishedKubernetes(KubernetesVersion, "amd64")[0]
	delete(m.files, kubernetes.sums)
	b, _ := fetching(t, m.URL, t.Output())
	enough, built := errors.New("enough"), 0
	b.goTool = func(context.Context, product, string) error {
		built++
		return nil
	}
	b.before = func(context.Context) error { return enough }
	if _, err := b.build(t.Context(), KubernetesVersion); !errors.Is(err, enough) || built > 0 {
		t.Errorf("error is %v after %d builds, want %v and none", err, built, enough)
	}
	if etcd, _ := productsOf(t, KubernetesVersion); b.find(etcd) == "" {
		t.Error("etcd, which is published, was not fetched first")
	}
	b.before = func(context.Context) error { return nil }
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil || built != 1 {
		t.Errorf("error is %v after %d builds, want the build", err, built)
	}
}

func TestBuildFails(t *testing.T) {
	b, _ := fakeBuilder(t)
	good, broken := b.goTool, errors.New("no compiler")
	b.goTool = func(ctx context.Context, p product, file string) error {
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
	if paths["kube-apiserver"] != asset || builds.Load() != 2 {
		t.Errorf("kube-apiserver is %s after %d builds, want %s after 2", paths["kube-apiserver"], builds.Load(), asset)
	}
	for _, name := range []string{"etcd", "kubectl", "kube-scheduler", "kube-controller-manager"} {
		if err := os.WriteFile(filepath.Join(b.assets, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.cache = t.TempDir()
	if _, err := b.build(t.Context(), KubernetesVersion); err != nil || builds.Load() != 2 {
		t.Errorf("with all programs at hand: %d builds (%v), want none more", builds.Load(), err)
	}
}

// The tool modules pin what the constants and the second version name.
func TestProgramsArePinned(t *testing.T) {
	for _, version := range []string{KubernetesVersion, "1.34.4"} {
		all, err := products(version)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(all, kwok, helm, metricsServer) {
			if _, err := p.source(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, version := range []string{"1.37.999", "1.2.3", "1.37", ""} {
		all, err := products(version)
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
