package httptunnel

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	_ "module-controller/internal/oneproc" // tests in bubbles
	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, change func(*Config)) (*Tunnel, *tunneltest.RecordingSink, string) {
	t.Helper()
	return startCounting(t, &counts{}, change)
}

func startCounting(t *testing.T, counted *counts, change func(*Config)) (*Tunnel, *tunneltest.RecordingSink, string) {
	t.Helper()
	cfg := testConfig(t)
	if change != nil {
		change(&cfg)
	}
	tun, err := New(cfg, zaptest.NewLogger(t), counted)
	if err != nil {
		t.Fatal(err)
	}
	s := &tunneltest.RecordingSink{}
	run(t, tun, s)
	return tun, s, "http://" + cfg.Listen
}

// testConfig has bases on loopback.
func testConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		Listen: freeAddress(t), Env: "dev", Auth: AuthAnyone, Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Timeout: time.Second, InstallTimeout: 5 * time.Second,
	}
}

// run runs a tunnel until the test ends, and returns when it listens.
func run(t testing.TB, tun *Tunnel, sink tunnel.Sink) {
	t.Helper()
	tunneltest.During(t, func(ctx context.Context) error { return tun.Run(ctx, sink) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections) // before the tunnel waits for their end
	tunneltest.Await(t, "listening", func() bool {
		return errors.Is(tun.Do(t.Context(), tunnel.BaseID{}, tunnel.Command{}), tunnel.ErrNotFollowed)
	})
}

func beat(identity, ip string, port int) string {
	return fmt.Sprintf(`{"baseMetadata":{"identity":%q,"name":"n","version":"1","clusterName":"c"},"localIP":%q,"localHostName":"h","port":%d,"state":"activated"}`, identity, ip, port)
}

func TestHeartbeatsAreTakenOrRefused(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, s, url := start(t, func(c *Config) {
		c.TokenFile = token
		c.Denied = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	})
	for name, c := range map[string]struct {
		token, body string
		want        int
	}{
		"good":            {"secret", beat("b", "127.0.0.1", 1238), http.StatusOK},
		"no token":        {"", beat("b", "127.0.0.1", 1238), http.StatusUnauthorized},
		"wrong token":     {"wrong", beat("b", "127.0.0.1", 1238), http.StatusUnauthorized},
		"huge":            {"secret", strings.Repeat("x", maxHeartbeat+1), http.StatusRequestEntityTooLarge},
		"not JSON":        {"secret", "hello", http.StatusBadRequest},
		"no identity":     {"secret", beat("", "127.0.0.1", 1238), http.StatusBadRequest},
		"evil identity":   {"secret", beat("../+/#", "127.0.0.1", 1238), http.StatusBadRequest},
		"no address":      {"secret", beat("b", "nowhere", 1238), http.StatusForbidden},
		"link-local":      {"secret", beat("b", "169.254.169.254", 80), http.StatusForbidden},
		"unspecified":     {"secret", beat("b", "0.0.0.0", 80), http.StatusForbidden},
		"loopback of v6":  {"secret", beat("b", "::1", 80), http.StatusForbidden},
		"denied":          {"secret", beat("b", "127.0.0.9", 6443), http.StatusForbidden},
		"no port":         {"secret", beat("b", "127.0.0.1", 0), http.StatusBadRequest},
		"port beyond all": {"secret", beat("b", "127.0.0.1", 70000), http.StatusBadRequest},

		"a port below all":              {"secret", beat("b", "127.0.0.1", -1), http.StatusBadRequest},
		"half a port":                   {"secret", `{"baseMetadata":{"identity":"b"},"localIP":"127.0.0.1","port":1238.5}`, http.StatusBadRequest},
		"a port beyond numbers":         {"secret", `{"baseMetadata":{"identity":"b"},"localIP":"127.0.0.1","port":1e400}`, http.StatusBadRequest},
		"a list of heartbeats":          {"secret", "[" + beat("b", "127.0.0.1", 1238) + "]", http.StatusBadRequest},
		"null":                          {"secret", "null", http.StatusBadRequest},
		"two heartbeats":                {"secret", beat("b", "127.0.0.1", 1238) + beat("c", "127.0.0.1", 1238), http.StatusBadRequest},
		"the denied one at the end":     {"secret", `{"baseMetadata":{"identity":"b"},"localIP":"127.0.0.1","port":1238,"LOCALIP":"127.0.0.9"}`, http.StatusForbidden},
		"an identity that is a list":    {"secret", `{"baseMetadata":{"identity":["b"]},"localIP":"127.0.0.1","port":1238}`, http.StatusBadRequest},
		"an identity with a line":       {"secret", `{"baseMetadata":{"identity":"b\r\nX: y"},"localIP":"127.0.0.1","port":1238}`, http.StatusBadRequest},
		"an identity without an end":    {"secret", beat(strings.Repeat("b", tunnel.MaxIdentity+1), "127.0.0.1", 1238), http.StatusBadRequest},
		"an address with a zone":        {"secret", beat("b", "fe80::1%lo", 1238), http.StatusForbidden},
		"an address in octal":           {"secret", beat("b", "0177.0.0.1", 1238), http.StatusForbidden},
		"an address as a number":        {"secret", beat("b", "2130706433", 1238), http.StatusForbidden},
		"an address with a port":        {"secret", beat("b", "127.0.0.1:80", 1238), http.StatusForbidden},
		"denied, in IPv6":               {"secret", beat("b", "::ffff:127.0.0.9", 1238), http.StatusForbidden},
		"denied, through NAT64":         {"secret", beat("b", "64:ff9b::127.0.0.9", 1238), http.StatusForbidden},
		"a metadata service by 6to4":    {"secret", beat("b", "2002:a9fe:a9fe::1", 80), http.StatusForbidden},
		"the token twice, wrong first":  {"wrong\r\nAuthorization: Bearer secret", beat("b", "127.0.0.1", 1238), 0},
		"the token with a NUL behind":   {"secret\x00", beat("b", "127.0.0.1", 1238), 0},
		"the token and more":            {"secret secret", beat("b", "127.0.0.1", 1238), http.StatusUnauthorized},
		"nested deeper than is decoded": {"secret", `{"baseMetadata":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + "}", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/heartbeat", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			resp, err := http.DefaultClient.Do(req)
			if c.want == 0 && err != nil { // a header that no client sends
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.want || c.want == http.StatusOK && string(body) != "SUCCESS" {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, c.want)
			}
		})
	}
	if beats := s.Recorded().Beats; len(beats) != 1 || beats[0].Base != (tunnel.BaseID{Env: "dev", Identity: "b"}) || beats[0].Port != 1238 || beats[0].Tunnel != Name {
		t.Errorf("heard %+v", beats)
	}
}

func TestASlowSenderIsCutOff(t *testing.T) {
	_, _, url := start(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}

// server is a base's HTTP server that answers as handle does.
func server(t testing.TB, handle http.HandlerFunc) tunnel.Heartbeat {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handle, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return tunnel.Heartbeat{Base: tunnel.BaseID{Env: "dev", Identity: l.Addr().String()}, IP: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

// What a base can do is known before anything else is heard of it.
func TestWhatABaseCanDoIsReportedFirst(t *testing.T) {
	tun, s, _ := start(t, nil)
	asked := make(chan struct{})
	h := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/help" {
			<-asked
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[{"id":"switchBiz"}]}`)
			return
		}
		atOnce(w, r)
	})
	tun.Follow(h)
	for range 2 {
		if err := tun.Do(t.Context(), h.Base, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
			t.Fatal(err)
		}
	}
	close(asked)
	tunneltest.Await(t, "two lists", func() bool { return s.Recorded().Lists(h.Base) == 2 })
	reports := s.Recorded().Reports
	if f := reports[0].Features; len(reports) != 3 || f == nil || !f.Switch || !f.Settings {
		t.Errorf("%d reports, the first is %+v", len(reports), reports[0])
	}
	tun.Unfollow(h.Base)
}

func TestHostileAnswersAreDropped(t *testing.T) {
	tun, s, _ := start(t, nil)
	moved := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"code":"SUCCESS","data":[]}`) })
	for name, handle := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for range 40 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d/", moved.Port), http.StatusTemporaryRedirect)
		},
		"another's identity": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[],"baseIdentity":"other"}`)
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"a header without an end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[]}`)
		},
		"hints without an end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", strings.Repeat("x", 1000))
			for range 100 {
				w.WriteHeader(http.StatusEarlyHints)
			}
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[]}`)
		},
		"little that unpacks to much": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, `{"code":"SUCCESS","data":[`+strings.Repeat(" ", 64<<20)+"]}")
			_ = z.Close()
		},
		"another protocol":    raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + `{"code":"SUCCESS","data":[]}`),
		"less than it says":   raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + `{"code":"SUCCESS","data":[]}`),
		"a length below zero": raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + `{"code":"SUCCESS","data":[]}`),
		"a chunk beyond all":  raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + `{"code":"SUCCESS","data":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			h := server(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/help" {
					atOnce(w, r)
					return
				}
				handle(w, r)
			})
			tun.Follow(h)
			if err := tun.Do(t.Context(), h.Base, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
				t.Fatal(err)
			}
			tunneltest.Await(t, "the request ended", func() bool { tun.mu.Lock(); defer tun.mu.Unlock(); return tun.bases[h.Base].busy == 0 })
			if n := s.Recorded().Lists(h.Base); n != 0 {
				t.Errorf("%d lists were believed", n)
			}
			tun.Unfollow(h.Base)
		})
	}
}

// raw writes an answer as it is, and ends the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

// What a base writes where no answer can be read is in no log as it is.
func TestABasesWordsAreCleanInLogs(t *testing.T) {
	words := "password=s3cr3t \u202e\x1b[31mhttps://u:s3cr3t@repo/x " + strings.Repeat("long ", 1000)
	for name, answer := range map[string]string{
		"status line":     "HTTP/1.1 500 " + words + "\r\nContent-Length: 0\r\n\r\n",
		"no status line":  words + "\r\n\r\n",
		"no header":       "HTTP/1.1 200 OK\r\n" + words + "\r\n\r\n",
		"length":          "HTTP/1.1 200 OK\r\nContent-Length: " + words + "\r\n\r\n",
		"transfer coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + words + "\r\n\r\n",
		"redirection":     "HTTP/1.1 302 Found\r\nLocation: %zz" + words + "\r\nContent-Length: 0\r\n\r\n",
		"answer":          "HTTP/1.1 200 OK\r\n\r\n" + words,
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			tun, err := New(testConfig(t), zap.New(core), &counts{})
			if err != nil {
				t.Fatal(err)
			}
			run(t, tun, &tunneltest.RecordingSink{})
			h := server(t, raw(answer))
			tun.Follow(h)
			if err := tun.Do(t.Context(), h.Base, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
				t.Fatal(err)
			}
			tunneltest.Await(t, "what is logged", func() bool { return logs.FilterMessage("request failed").Len() == 1 })
			text := fmt.Sprint(logs.FilterMessage("request failed").All()[0].ContextMap()["error"])
			if strings.ContainsAny(text, "\u202e\x1b\n") || strings.Contains(text, "s3cr3t") || len(text) > 512 {
				t.Errorf("it is logged as %q", text)
			}
		})
	}
}

// never accepts a request and answers nothing.
func never(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // until then an end of the connection goes unseen
	<-r.Context().Done()
}

// atOnce answers a list with nothing in it.
func atOnce(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[]}`)
}

// A base that never answers keeps only its own requests waiting.
func TestABaseThatNeverAnswersDelaysNoOther(t *testing.T) {
	tun, s, _ := start(t, func(c *Config) { c.Timeout = 5 * time.Second })
	dead, good := server(t, never), server(t, atOnce)
	tun.Follow(dead)
	tun.Follow(good)
	var refused error
	for range 100 {
		if err := tun.Do(t.Context(), dead.Base, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
			refused = err
		}
	}
	if refused == nil {
		t.Error("100 requests were started on a base that does not answer")
	}
	for n := range 20 {
		if err := tun.Do(t.Context(), good.Base, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
			t.Fatal(err)
		}
		tunneltest.Await(t, "a list", func() bool { return s.Recorded().Lists(good.Base) > n })
	}
	tun.Unfollow(dead.Base)
}
