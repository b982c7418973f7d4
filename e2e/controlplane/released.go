package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// platform is what programs are fetched for.
const platform = runtime.GOOS + "-" + runtime.GOARCH

// A published is a program where its makers publish it. Paths are those on their site.
type published struct {
	program string
	// path is where the program is, or the archive (.tar.gz) of which member is it.
	path, member string
	// sums is where the SHA-256 or SHA-512 of path is published.
	sums string
}

// publishedKubernetes lists a release of Kubernetes: https://kubernetes.io/releases/download.
func publishedKubernetes(version, arch string) []published {
	var all []published
	for _, program := range []string{string(APIServer), string(ControllerManager), string(Scheduler), kubectl} {
		path := "/release/v" + version + "/bin/linux/" + arch + "/" + program
		all = append(all, published{program: program, path: path, sums: path + ".sha512"})
	}
	return all
}

// publishedEtcd lists a release of etcd: https://github.com/etcd-io/etcd/releases.
func publishedEtcd(version, arch string) []published {
	dir := "/etcd-io/etcd/releases/download/v" + version + "/"
	name := "etcd-v" + version + "-linux-" + arch
	return []published{{
		program: string(Etcd), path: dir + name + ".tar.gz", member: name + "/etcd", sums: dir + "SHA256SUMS",
	}}
}

var (
	// errUnpublished is said of what nobody is asked for.
	errUnpublished = errors.New("it is not published, or not asked for")
	// errRefused is said of what is not what its makers published.
	errRefused = errors.New("refused")
)

// fetcher fetches programs as their makers publish them. It believes their sites, which
// TLS proves, and their checksums, which show that a file is whole: both are theirs.
type fetcher struct {
	client *http.Client
	// mirror is asked in place of each maker's own site, under the same paths. Where it
	// is ReleasesNone nobody is.
	mirror string
	arch   string // of Linux, or "" on another system
	// stall is how long at most nothing may come.
	stall time.Duration
	log   io.Writer
}

// newFetcher gives the fetcher that the environment chooses. It goes by the proxies of
// the environment, and gives up soon on a site that it cannot reach.
func newFetcher(log io.Writer) fetcher {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	f := fetcher{
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:                 func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
				DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				TLSHandshakeTimeout:   5 * time.Second,
				ResponseHeaderTimeout: 10 * time.Second,
				ForceAttemptHTTP2:     true,
				DisableKeepAlives:     true, // nothing stays when all is fetched
			},
			CheckRedirect: keepTLS,
		},
		mirror: strings.TrimSuffix(os.Getenv(ReleasesVariable), "/"),
		stall:  20 * time.Second,
		log:    log,
	}
	if runtime.GOOS == "linux" {
		f.arch = runtime.GOARCH
	}
	return f
}

// keepTLS refuses to go on without TLS where it was begun with it.
func keepTLS(to *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("it is sent on and on")
	}
	if via[0].URL.Scheme == "https" && to.URL.Scheme != "https" {
		return fmt.Errorf("%w: it is sent on to %s, without TLS", errRefused, to.URL)
	}
	return nil
}

// fetch fetches all programs of a product into a folder. It takes no longer than to
// build them would.
func (f fetcher) fetch(ctx context.Context, p product, dir string) error {
	if p.published == nil || f.arch == "" || f.mirror == ReleasesNone {
		return errUnpublished
	}
	site := cmp.Or(f.mirror, p.site)
	all := p.published(p.version, f.arch)
	ctx, cancel := context.WithTimeoutCause(ctx, p.takes, fmt.Errorf("it takes longer than %s, as building does", p.takes))
	defer cancel()
	_, _ = fmt.Fprintf(f.log, "asking %s for %s %s\n", site, p.name, p.version)
	// All sums first: whether the site can be reached and has them is known at once.
	sums := make([]checksum, len(all))
	for i, file := range all {
		var err error
		if sums[i], err = f.sum(ctx, site, file); err != nil {
			return err
		}
	}
	began := time.Now()
	for i, file := range all {
		if err := f.program(ctx, site, file, sums[i], dir); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(f.log, "fetched %s %s in %s\n", p.name, p.version, time.Since(began).Round(time.Second))
	return nil
}

// sum fetches the checksum that is published of a file.
func (f fetcher) sum(ctx context.Context, site string, file published) (checksum, error) {
	var text strings.Builder
	const most = 64 << 10 // bytes; a list of a release's files is a tenth of it
	if err := f.get(ctx, site+file.sums, func(int64) io.Writer { return &text }, most); err != nil {
		return checksum{}, err
	}
	sum, err := findChecksum(text.String(), filepath.Base(file.path))
	if err != nil {
		return checksum{}, fmt.Errorf("read %s: %w", site+file.sums, err)
	}
	return sum, nil
}

// program fetches a program into a folder, and refuses it where it is not what the
// checksum says.
func (f fetcher) program(ctx context.Context, site string, file published, want checksum, dir string) error {
	to := filepath.Join(dir, file.program)
	if file.member != "" {
		to += ".tar.gz"
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	sum := want.hash()
	const most = 1 << 30 // bytes; the largest is a tenth of it
	err = f.get(ctx, site+file.path, func(size int64) io.Writer {
		_, _ = fmt.Fprintf(f.log, "fetching %s%s\n", file.program, megabytes(size))
		return io.MultiWriter(out, sum)
	}, most)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := want.check(sum); err != nil {
		return fmt.Errorf("%w %s: %w", errRefused, site+file.path, err)
	}
	if file.member == "" {
		return nil
	}
	return errors.Join(unpack(to, file.member, filepath.Join(dir, file.program)), os.Remove(to))
}

// get reads what is at a URL into the writer that it is given for what comes, of so many
// bytes or -1 where that is unknown.
func (f fetcher) get(ctx context.Context, address string, into func(size int64) io.Writer, most int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("nothing came for %s", f.stall)) })
	defer stalled.Stop()
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("get %s: %w", address, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fail(err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fail(errors.New(resp.Status))
	}
	_, err = io.Copy(into(resp.ContentLength), &patient{from: io.LimitReader(resp.Body, most), stall: f.stall, timer: stalled})
	if err != nil {
		return fail(err)
	}
	return nil
}

// megabytes says how large a file is, where that is known.
func megabytes(size int64) string {
	if size < 0 {
		return ""
	}
	return fmt.Sprintf(", %.1f MB", float64(size)/1e6)
}

// patient puts a timer off with whatever it reads.
type patient struct {
	from  io.Reader
	stall time.Duration
	timer *time.Timer
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	if n > 0 {
		p.timer.Reset(p.stall)
	}
	return n, err
}
