package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sixteen bytes or more"

// delivery is a request that a server got.
type delivery struct {
	body []byte
	http.Header
}

// server is somebody who is told.
type server struct {
	*httptest.Server
	got chan delivery
}

// newServer answers as it is given; all that it gets is kept.
func newServer(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := &server{got: make(chan delivery, 1000)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.got <- delivery{body, r.Header.Clone()}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// next is the next request of a server.
func (s *server) next(t *testing.T) delivery {
	t.Helper()
	select {
	case d := <-s.got:
		return d
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return delivery{}
	}
}

// tally counts what became of failures.
type tally struct {
	mu     sync.Mutex
	counts map[string]int // mu guards it
}

func (c *tally) Hooked(result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[result]++
}

func (c *tally) of(result string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[result]
}

// await waits until so many ended so.
func (c *tally) await(t *testing.T, result string, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.of(result) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("counted %v, want %d %s", c.counts, n, result)
		}
		time.Sleep(time.Millisecond)
	}
}

// sender is one that runs until the test ends, and what it counts and logs.
type sender struct {
	*Sender
	*tally
	logs *observer.ObservedLogs
	file string // of the secret
	end  func()
}

func running(t *testing.T, cfg Config) *sender {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := &sender{tally: &tally{counts: map[string]int{}}, logs: logs, file: filepath.Join(t.TempDir(), "secret")}
	s.writes(t, secret+"\n")
	cfg.SecretFile = s.file
	if cfg.retry == 0 {
		cfg.retry = time.Millisecond
	}
	var err error
	if s.Sender, err = New(cfg, Deps{UserAgent: "module-controller/test", Meter: s, Log: zap.New(core)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	s.end = func() { cancel(); run.Wait() }
	t.Cleanup(s.end)
	return s
}

func (s *sender) writes(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fail has an install fail, of a pod of its own.
func (s *sender) fail(uid string) {
	s.Wrote(aPod(uid), aStatus("", ""), aStatus("InstallFailed", "no such jar"))
}

// checkSigned fails the test unless a delivery is signed with a secret, at about now.
func checkSigned(t *testing.T, d delivery, with string) {
	t.Helper()
	unix, err := strconv.ParseInt(d.Get("Module-Controller-Timestamp"), 10, 64)
	if at := time.Unix(unix, 0); err != nil || time.Since(at) > time.Minute || time.Until(at) > time.Minute {
		t.Errorf("it is of %q: %v", d.Get("Module-Controller-Timestamp"), err)
	}
	if want := "v1=" + Sign([]byte(with), time.Unix(unix, 0), d.body); d.Get("Module-Controller-Signature") != want {
		t.Errorf("its signature is %q, want %q", d.Get("Module-Controller-Signature"), want)
	}
}

func idOf(t *testing.T, d delivery) string {
	t.Helper()
	var f Failure
	if err := json.Unmarshal(d.body, &f); err != nil {
		t.Fatal(err)
	}
	return f.ID
}

// The signature is one that other programs come to too:
// printf '1000000.{}' | openssl dgst -sha256 -hmac 'sixteen bytes or more'
func TestTheSignature(t *testing.T) {
	const want = "9332f92556a87b6a0c5561d6217caeac56880288090c269c60fb5326f274ecba"
	if got := Sign([]byte(secret), time.Unix(1_000_000, 0), []byte("{}")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Each URL is told once, with a body of JSON and a signature.
func TestEachURLIsTold(t *testing.T) {
	one, other := newServer(t, answers(200)), newServer(t, answers(204))
	s := running(t, Config{URLs: []string{one.URL + "/modules?key=x", other.URL}})
	s.fail("a")
	for _, at := range []*server{one, other} {
		d := at.next(t)
		checkSigned(t, d, secret)
		if d.Get("Content-Type") != "application/json" || d.Get("User-Agent") != "module-controller/test" || !strings.Contains(string(d.body), "no such jar") {
			t.Errorf("%v: %s", d.Header, d.body)
		}
	}
	s.await(t, "sent", 2)
	if len(one.got)+len(other.got) > 0 || s.logs.Len() > 0 {
		t.Errorf("more came, or was told: %v", s.logs.All())
	}
}

// What another try may help is sent again, as the same failure; anything else is not.
func TestWhatIsSentAgain(t *testing.T) {
	for status, tries := range map[int]int{500: 3, 503: 3, 429: 3, 408: 3, 400: 1, 401: 1, 404: 1, 301: 1, 307: 1} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			elsewhere := newServer(t, answers(200))
			at := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(status)
			})
			s := running(t, Config{URLs: []string{at.URL}, tries: 3})
			s.fail("a")
			result := droppedUnsent
			if tries == 1 {
				result = droppedRefused
			}
			s.await(t, result, 1)
			ids := map[string]bool{}
			for range tries {
				d := at.next(t)
				checkSigned(t, d, secret)
				ids[idOf(t, d)] = true
			}
			if len(at.got) > 0 || len(ids) != 1 || len(elsewhere.got) > 0 {
				t.Errorf("%d more came, IDs %v, %d came elsewhere", len(at.got), ids, len(elsewhere.got))
			}
			if told := s.logs.All(); len(told) != 1 || !strings.Contains(fmt.Sprint(told[0].ContextMap()), strconv.Itoa(status)) {
				t.Errorf("told: %v", told)
			}
		})
	}
}

// One that fails for a while gets what failed meanwhile.
func TestOneThatIsBackIsTold(t *testing.T) {
	var mu sync.Mutex
	left := 2
	at := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if left--; left >= 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s := running(t, Config{URLs: []string{at.URL}})
	s.fail("a")
	s.fail("b")
	s.await(t, "sent", 2)
	if s.of(droppedUnsent) > 0 {
		t.Errorf("counted %v", s.counts)
	}
}

// One that hangs delays no other, and nobody who installs; what does not fit is dropped,
// counted and told. When the session ends it ends too.
func TestOneThatHangsDelaysNobody(t *testing.T) {
	free := make(chan struct{})
	hangs, works := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	}), newServer(t, answers(200))
	defer close(free)
	s := running(t, Config{URLs: []string{hangs.URL, works.URL}, waiting: 10, timeout: time.Minute})
	s.fail("first")
	hangs.next(t)
	s.await(t, "sent", 1)
	began := time.Now()
	const more = 30
	for i := range more {
		s.fail(fmt.Sprint("uid-", i))
		s.await(t, "sent", i+2) // the other one has room
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if n := s.of(droppedFull); n != more-10 {
		t.Errorf("%d were dropped, want %d", n, more-10)
	}
	told := s.logs.All()
	if len(told) != 1 || told[0].ContextMap()["reason"] != droppedFull || told[0].ContextMap()["host"] != strings.TrimPrefix(hangs.URL, "http://") {
		t.Errorf("told: %v", told)
	}
	s.end()
	if n := s.of(droppedEnded); n != 11 {
		t.Errorf("%d were left, want 11; counted %v", n, s.counts)
	}
}

// One that does not answer in time counts as not reached.
func TestOneThatIsSlowIsGivenUp(t *testing.T) {
	free := make(chan struct{})
	at := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	})
	defer close(free)
	s := running(t, Config{URLs: []string{at.URL + "/?token=geheim"}, timeout: 20 * time.Millisecond, tries: 2})
	s.fail("a")
	s.await(t, droppedUnsent, 1)
	if text := fmt.Sprint(s.logs.All()[0].ContextMap()); strings.Contains(text, "geheim") || !strings.Contains(text, "Timeout") {
		t.Errorf("told: %s", text)
	}
}

// The secret is followed while the program runs: one that is not there for a moment delays
// what is sent.
func TestTheSecretIsFollowed(t *testing.T) {
	at := newServer(t, answers(200))
	s := running(t, Config{URLs: []string{at.URL}, retry: 20 * time.Millisecond, tries: 1000})
	s.fail("a")
	checkSigned(t, at.next(t), secret)
	s.writes(t, "")
	s.fail("b")
	other := strings.Repeat("other", 5)
	s.writes(t, other)
	checkSigned(t, at.next(t), other)
	s.await(t, "sent", 2)
}

// All faults of a configuration are told at once, and nothing of a URL that may be a secret.
func TestWhichConfigurationsAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want []string // each is in a line; none where it is taken
	}{
		"nobody":                {Config{}, nil},
		"TLS":                   {Config{URLs: []string{"https://hooks.example.com/geheim?token=geheim"}, SecretFile: file}, nil},
		"on this host":          {Config{URLs: []string{"http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1"}, SecretFile: file}, nil},
		"without TLS":           {Config{URLs: []string{"https://a", "http://hooks.example.com/geheim"}, SecretFile: file}, []string{"URL 2 must begin with https://, or set REPORT_HOOKS_ALLOW_HTTP=true"}},
		"without TLS, allowed":  {Config{URLs: []string{"http://hooks.example.com"}, SecretFile: file, AllowHTTP: true}, nil},
		"no URL":                {Config{URLs: []string{"geheim", "https://", "://geheim"}, SecretFile: file}, []string{"URL 1 is no URL", "URL 2 is no URL", "URL 3 is no URL"}},
		"another scheme":        {Config{URLs: []string{"ftp://geheim/x"}, SecretFile: file}, []string{"URL 1 must begin with https://"}},
		"with a password":       {Config{URLs: []string{"https://user:geheim@a"}, SecretFile: file}, []string{"URL 1 has a user or password in it"}},
		"too many":              {Config{URLs: slices.Repeat([]string{"https://a"}, 9), SecretFile: file}, []string{"REPORT_HOOKS has 9 URLs"}},
		"without a secret":      {Config{URLs: []string{"https://a"}}, []string{"REPORT_HOOKS needs REPORT_HOOKS_SECRET_FILE"}},
		"a secret that is none": {Config{URLs: []string{"https://a"}, SecretFile: short}, []string{"has 5 bytes, a secret has 16 or more"}},
		"no such file":          {Config{URLs: []string{"http://a"}, SecretFile: file + "x"}, []string{"URL 1 must begin with https://", "read REPORT_HOOKS_SECRET_FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.cfg, Deps{Log: zap.NewNop()})
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("it shows a secret: %v", err)
			}
		})
	}
}
