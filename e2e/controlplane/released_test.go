package controlplane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// makers is a site that publishes what a control plane consists of.
type makers struct {
	*httptest.Server
	files map[string]http.HandlerFunc // by path

	mu    sync.Mutex // mu guards what follows
	asked []string   // paths, in order
}

func newMakers(t *testing.T) *makers {
	t.Helper()
	m := &makers{files: map[string]http.HandlerFunc{}}
	for _, p := range publishedKubernetes(KubernetesVersion, "amd64") {
		m.publish(p.path, []byte("released "+p.program))
		m.publish(p.sums, fmt.Appendf(nil, "%x", sha512.Sum512([]byte("released "+p.program))))
	}
	etcd := publishedEtcd(EtcdVersion, "amd64")[0]
	m.publishEtcd(t, etcd.member)
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// publishEtcd publishes an archive in which etcd has a name.
func (m *makers) publishEtcd(t *testing.T, name string) {
	t.Helper()
	etcd := publishedEtcd(EtcdVersion, "amd64")[0]
	archive := packed(t, map[string]string{"README.md": "read me", name: "released etcd"})
	m.publish(etcd.path, archive)
	m.publish(etcd.sums, fmt.Appendf(nil, "%x  etcd.zip\n%x  %s\n", sha256.Sum256(nil), sha256.Sum256(archive), filepath.Base(etcd.path)))
}

// packed is a .tar.gz of files.
func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	out := tar.NewWriter(zipped)
	var errs []error
	for name, content := range files {
		errs = append(errs, out.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}))
		_, err := io.WriteString(out, content)
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, out.Close(), zipped.Close())...); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func (m *makers) publish(path string, content []byte) {
	m.files[path] = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
}

func (m *makers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked = append(m.asked, r.URL.Path)
	m.mu.Unlock()
	serve := m.files[r.URL.Path]
	if serve == nil {
		serve = http.NotFound
	}
	serve(w, r)
}

// requests counts what was asked for.
func (m *makers) requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

// fetching is a builder that fetches from a site.
func fetching(t *testing.T, site string, log io.Writer) (b builder, f *fetcher) {
	t.Helper()
	t.Setenv(ReleasesVariable, site)
	b, _ = fakeBuilder(t)
	b.log = log
	made := newFetcher(log)
	f = &made
	f.arch = "amd64"
	b.fetch = func(ctx context.Context, p product, dir string) error { return f.fetch(ctx, p, dir) }
	return b, f
}

// holds fails unless each program is one that can be run and says so much.
func holds(t *testing.T, paths map[string]string, want func(name string) string) {
	t.Helper()
	if len(paths) != 5 {
		t.Errorf("programs are %v, want 5", paths)
	}
	for name, path := range paths {
		content, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(content) != want(name) || info.Mode()&0o111 == 0 {
			t.Errorf("%s is %q, %v (%v), want %q that can be run", path, content, info, errors.Join(err, statErr), want(name))
		}
	}
}

func released(name string) string { return "released " + name }

func builtNot(name string) string {
	if name == "etcd" {
		return "etcd"
	}
	return "kubernetes"
}

func TestReleasesAreFetchedOnce(t *testing.T) {
	m := newMakers(t)
	var log bytes.Buffer
	b, _ := fetching(t, m.URL+"/", &log)
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, paths, released)
	for _, want := range []string{"asking " + m.URL + " for kubernetes " + KubernetesVersion, "fetching kube-apiserver, ", "fetched kubernetes"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log is %q, want %q in it", log.String(), want)
		}
	}
	left, err := filepath.Glob(filepath.Join(b.cache, "etcd-*", "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("of the archive %v is left (%v), want etcd only", left, err)
	}
	before := m.requests()
	again, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, again, released)
	if n := m.requests() - before; n > 0 {
		t.Errorf("with all cached %d questions were asked", n)
	}
}

// Whatever is wrong with what is published, or with the way to it, is told, nothing of it
// is kept, and the programs are built.
func TestReleasesThatCannotBeHad(t *testing.T) {
	apiserver := publishedKubernetes(KubernetesVersion, "amd64")[0]
	scheduler := publishedKubernetes(KubernetesVersion, "amd64")[2]
	etcd := publishedEtcd(EtcdVersion, "amd64")[0]
	for _, tt := range []struct {
		name  string
		fault func(t *testing.T, m *makers, f *fetcher)
		told  string
	}{
		{"nobody listens", func(_ *testing.T, m *makers, _ *fetcher) { m.Close() }, "connection refused"},
		{"not the file that was published", func(_ *testing.T, m *makers, _ *fetcher) { m.publish(apiserver.path, []byte("malice")) },
			"refused " + "URL" + apiserver.path + ": its checksum is "},
		{"the last of them is another", func(_ *testing.T, m *makers, _ *fetcher) { m.publish(scheduler.path, []byte("malice")) },
			"refused " + "URL" + scheduler.path + ": its checksum is "},
		{"not the archive that was published", func(t *testing.T, m *makers, _ *fetcher) {
			t.Helper()
			m.publish(etcd.path, packed(t, map[string]string{etcd.member: "malice"}))
		}, "refused " + "URL" + etcd.path + ": its checksum is "},
		{"no such version", func(_ *testing.T, m *makers, _ *fetcher) { clear(m.files) }, apiserver.sums + ": 404 Not Found"},
		{"no such file", func(_ *testing.T, m *makers, _ *fetcher) { delete(m.files, apiserver.path) }, apiserver.path + ": 404 Not Found"},
		{"a page that asks to log in", func(_ *testing.T, m *makers, _ *fetcher) {
			m.publish(apiserver.sums, []byte("<html>\n<title>Welcome</title>\n</html>"))
		}, "it has no checksum of kube-apiserver"},
		{"the sums of other files", func(_ *testing.T, m *makers, _ *fetcher) {
			m.publish(etcd.sums, fmt.Appendf(nil, "%x  etcd.zip\n", sha256.Sum256(nil)))
		}, "it has no checksum of " + filepath.Base(etcd.path)},
		{"an archive without it", func(t *testing.T, m *makers, _ *fetcher) {
			t.Helper()
			m.publishEtcd(t, "etcd")
		}, "it has no " + etcd.member},
		{"cut in the middle", func(_ *testing.T, m *makers, _ *fetcher) {
			m.files[apiserver.path] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, "released")
			}
		}, "unexpected EOF"},
		{"stuck in the middle", func(_ *testing.T, m *makers, f *fetcher) {
			f.stall = 50 * time.Millisecond
			m.files[apiserver.path] = func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "released")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		}, "nothing came for 50ms"},
		{"in a circle", func(_ *testing.T, m *makers, _ *fetcher) {
			m.files[apiserver.sums] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, apiserver.sums, http.StatusFound) }
		}, "it is sent on and on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMakers(t)
			var log bytes.Buffer
			b, f := fetching(t, m.URL, &log)
			tt.fault(t, m, f)
			paths, err := b.build(t.Context(), KubernetesVersion)
			if err != nil {
				t.Fatal(err)
			}
			told := strings.ReplaceAll(tt.told, "URL", m.URL)
			if !strings.Contains(log.String(), told) || !strings.Contains(log.String(), "so it is built") {
				t.Errorf("log is\n%s\nwant %q in it, and what follows", log.String(), told)
			}
			for name, path := range paths {
				content, err := os.ReadFile(path)
				if err != nil || string(content) != builtNot(name) && string(content) != released(name) {
					t.Errorf("%s holds %q (%v)", path, content, err)
				}
			}
			for _, pattern := range []string{"*.partial", "*/*.tar.gz"} {
				if left, err := filepath.Glob(filepath.Join(b.cache, pattern)); err != nil || len(left) > 0 {
					t.Errorf("%v is left (%v)", left, err)
				}
			}
		})
	}
}

// Programs of one product are all fetched or all built.
func TestReleasesAreNotMixed(t *testing.T) {
	m := newMakers(t)
	delete(m.files, publishedKubernetes(KubernetesVersion, "amd64")[3].path)
	b, _ := fetching(t, m.URL, t.Output())
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, paths, func(name string) string {
		if name == "etcd" {
			return released(name)
		}
		return "kubernetes"
	})
}

func TestReleasesAreNotAskedFor(t *testing.T) {
	var log bytes.Buffer
	b, _ := fetching(t, ReleasesNone, &log)
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, paths, builtNot)
	if strings.Contains(log.String(), "fetch") {
		t.Errorf("log is %q, want no word of fetching", log.String())
	}
}

// What began with TLS does not go on without it.
func TestReleasesKeepTLS(t *testing.T) {
	m := newMakers(t)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, m.URL+r.URL.Path, http.StatusFound)
	}))
	defer secure.Close()
	var log bytes.Buffer
	b, f := fetching(t, secure.URL, &log)
	f.client.Transport = secure.Client().Transport
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, paths, builtNot)
	if !strings.Contains(log.String(), "without TLS") || m.requests() > 0 {
		t.Errorf("after %d requests without TLS the log is %q", m.requests(), log.String())
	}
}

// The proxy answers for a site whose name nobody resolves.
func TestReleasesGoByTheProxy(t *testing.T) {
	m := newMakers(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, m.URL)
	}
	b, _ := fetching(t, "http://releases.invalid", t.Output())
	paths, err := b.build(t.Context(), KubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, paths, released)
}

// Who interrupts has not asked for a build.
func TestReleasesEndWithTheirContext(t *testing.T) {
	m := newMakers(t)
	b, _ := fetching(t, m.URL, t.Output())
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	m.files[publishedEtcd(EtcdVersion, "amd64")[0].path] = func(_ http.ResponseWriter, r *http.Request) {
		cancel(enough)
		<-r.Context().Done()
	}
	b.goTool = func(context.Context, product, string) error {
		t.Error("it is built")
		return nil
	}
	if _, err := b.build(ctx, KubernetesVersion); !errors.Is(err, enough) {
		t.Errorf("error is %v, want %v", err, enough)
	}
}

func TestFindChecksum(t *testing.T) {
	sum := strings.Repeat("ab", sha256.Size)
	for _, tt := range []struct {
		text  string
		found bool
	}{
		{sum, true},
		{sum + "\n", true},
		{strings.Repeat("ab", sha512.Size), true},
		{sum + "  file\n", true},
		{sum + " *file\n", true},
		{"00  other\n" + sum + "  file\n", true},
		{"", false},
		{sum[2:], false},
		{strings.Repeat("xy", sha256.Size), false},
		{sum + "  other\n", false},
		{sum + "\n" + sum + "\n", false}, // of which file?
		{sum + "  file of another\n", false},
	} {
		if _, err := findChecksum(tt.text, "file"); (err == nil) != tt.found {
			t.Errorf("%q: %v", tt.text, err)
		}
	}
}
