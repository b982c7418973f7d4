package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// asks makes one probe of a module at 127.0.0.1.
func asks(t *testing.T, probe corev1.ProbeHandler, change ...func(*question)) finding {
	t.Helper()
	q := question{container: &corev1.Container{}, probe: &corev1.Probe{ProbeHandler: probe}, timeout: 5 * time.Second, ip: "127.0.0.1"}
	for _, c := range change {
		c(&q)
	}
	return newMaker((&net.Dialer{}).DialContext).probe(t.Context(), q)
}

func within(d time.Duration) func(*question) { return func(q *question) { q.timeout = d } }

func (f finding) check(t *testing.T, o outcome, text string) {
	t.Helper()
	if f.outcome != o || !strings.Contains(f.text, text) || (text == "") != (f.text == "") {
		t.Errorf("%s %q, want %s with %q", f.outcome, f.text, o, text)
	}
}

func portFrom(t *testing.T, address string) intstr.IntOrString {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return intstr.FromInt(n)
}

// closedPort is a port on which nobody listens.
func closedPort(t *testing.T) intstr.IntOrString {
	t.Helper()
	l := listens(t)
	defer l.Close()
	return portFrom(t, l.Addr().String())
}

func listens(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// module is a server as modules have.
func moduleServer(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	mux.HandleFunc("/secret", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "it is s3cret", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok?x=1", http.StatusFound) })
	mux.HandleFunc("/redirect-to-failure", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/secret", http.StatusFound) })
	mux.HandleFunc("/redirect-away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
	})
	mux.HandleFunc("/redirect-for-ever", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/redirect-for-ever", http.StatusFound)
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.example" || r.UserAgent() != userAgent || r.Header.Get("Accept") != "*/*" || r.Header.Get("X-A") != "b" || r.Header.Get("Accept-Encoding") != "" {
			http.Error(w, "", 400)
		}
	})
	mux.HandleFunc("/own-headers", func(w http.ResponseWriter, r *http.Request) {
		if _, has := r.Header["Accept"]; has || r.UserAgent() != "me" {
			http.Error(w, "", 400)
		}
	})
	mux.HandleFunc("/h2", func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "", 400)
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s := httptest.NewUnstartedServer(mux)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols.SetHTTP2(true)
	t.Cleanup(s.Close)
	return s
}

func TestHTTPProbes(t *testing.T) {
	s := moduleServer(t)
	s.Start()
	http2 := corev1.HTTPProtocolHTTP2
	get := func(path string, change ...func(*corev1.HTTPGetAction)) corev1.ProbeHandler {
		a := &corev1.HTTPGetAction{Path: path, Port: portFrom(t, s.URL)}
		for _, c := range change {
			c(a)
		}
		return corev1.ProbeHandler{HTTPGet: a}
	}
	header := func(name, value string) func(*corev1.HTTPGetAction) {
		return func(a *corev1.HTTPGetAction) {
			a.HTTPHeaders = append(a.HTTPHeaders, corev1.HTTPHeader{Name: name, Value: value})
		}
	}
	asks(t, get("/ok")).check(t, passed, "")
	asks(t, get("ok")).check(t, passed, "") // a path without its slash
	asks(t, get("/ok?a=b")).check(t, passed, "")
	asks(t, get("/none")).check(t, failed, "HTTP probe failed with statuscode: 404")
	asks(t, get("/redirect")).check(t, passed, "")
	asks(t, get("/redirect-to-failure")).check(t, failed, "statuscode: 503")
	asks(t, get("/redirect-away")).check(t, passed, "Probe terminated redirects")
	asks(t, get("/redirect-for-ever")).check(t, failed, "stopped after 10 redirects")
	asks(t, get("/headers", header("Host", "shop.example"), header("x-a", "b"))).check(t, passed, "")
	asks(t, get("/own-headers", header("Accept", ""), header("User-Agent", "me"))).check(t, passed, "")
	asks(t, get("/ok", header("not a name", "x"))).check(t, unknown, "invalid header")
	asks(t, get("/h2")).check(t, failed, "400")
	asks(t, get("/h2", func(a *corev1.HTTPGetAction) { a.Protocol = &http2 })).check(t, passed, "")
	asks(t, get("/endless")).check(t, passed, "")
	asks(t, get("/silent"), within(50*time.Millisecond)).check(t, failed, "deadline exceeded")
	asks(t, get("/half"), within(50*time.Millisecond)).check(t, unknown, "deadline exceeded")
	asks(t, get("/ok", func(a *corev1.HTTPGetAction) { a.Scheme = corev1.URISchemeHTTPS })).check(t, failed, "HTTPS")
	asks(t, get("/ok", func(a *corev1.HTTPGetAction) { a.Port = closedPort(t) })).check(t, failed, "connection refused")
	asks(t, get("/ok", func(a *corev1.HTTPGetAction) { a.Host = "127.0.0.2" })).check(t, failed, "127.0.0.2") // it listens on 127.0.0.1 only
	if f := asks(t, get("/secret")); strings.Contains(f.text, "s3cret") {
		t.Errorf("the body of a failure is told: %q", f.text)
	}
	asks(t, get("/ok"), func(q *question) { q.ip = "" }).check(t, unknown, "not known")
}

func TestHTTPSProbesVerifyNothing(t *testing.T) {
	s := moduleServer(t)
	s.StartTLS()
	asks(t, corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ok", Port: portFrom(t, s.URL), Scheme: corev1.URISchemeHTTPS}}).check(t, passed, "")
}

// Probes go where they say and nowhere else: no proxy of the environment is asked. It is
// read once for a process, so the transports are looked at.
func TestProbesUseNoProxy(t *testing.T) {
	m := newMaker(nil)
	if m.plain.Proxy != nil || m.clear.Proxy != nil {
		t.Error("a proxy may be asked")
	}
}

func TestTCPProbes(t *testing.T) {
	l := listens(t)
	tcp := func(port intstr.IntOrString, host string) corev1.ProbeHandler {
		return corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port, Host: host}}
	}
	open := portFrom(t, l.Addr().String())
	asks(t, tcp(open, "")).check(t, passed, "")
	asks(t, tcp(open, "localhost"), func(q *question) { q.ip = "192.0.2.1" }).check(t, passed, "")
	asks(t, tcp(closedPort(t), "")).check(t, failed, "connection refused")
	asks(t, tcp(intstr.FromString("web"), "")).check(t, unknown, `port "web" not found`)
	asks(t, tcp(intstr.FromInt32(0), "")).check(t, unknown, "invalid port number: 0")
	asks(t, tcp(intstr.FromString("web"), ""), func(q *question) {
		q.container.Ports = []corev1.ContainerPort{{Name: "other", ContainerPort: 1}, {Name: "web", ContainerPort: open.IntVal}}
	}).check(t, passed, "")
}

func TestGRPCProbes(t *testing.T) {
	// What httptest's certificate is for does not matter.
	certified := moduleServer(t)
	certified.StartTLS()
	serve := func(options ...grpc.ServerOption) (*health.Server, int32) {
		l, s, h := listens(t), grpc.NewServer(options...), health.NewServer()
		healthv1.RegisterHealthServer(s, h)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Serve(l)
		}()
		t.Cleanup(func() {
			s.Stop()
			<-done
		})
		return h, portFrom(t, l.Addr().String()).IntVal
	}
	ask := func(port int32, service string, change ...func(*corev1.GRPCAction)) corev1.ProbeHandler {
		a := &corev1.GRPCAction{Port: port, Service: &service}
		for _, c := range change {
			c(a)
		}
		return corev1.ProbeHandler{GRPC: a}
	}
	h, port := serve()
	h.SetServingStatus("down", healthv1.HealthCheckResponse_NOT_SERVING)
	asks(t, ask(port, "")).check(t, passed, "")
	asks(t, ask(port, "down")).check(t, failed, `service unhealthy (responded with "NOT_SERVING")`)
	asks(t, ask(port, "unheard-of")).check(t, failed, "unknown service")
	asks(t, ask(closedPort(t).IntVal, "")).check(t, failed, "connection refused")
	_, other := serve(grpc.UnknownServiceHandler(nil))
	asks(t, ask(other, "")).check(t, passed, "")
	tls := corev1.GRPCProbeModeTLS
	_, secure := serve(grpc.Creds(credentials.NewTLS(certified.TLS)))
	asks(t, ask(secure, "", func(a *corev1.GRPCAction) { a.Mode = &tls })).check(t, passed, "")
	asks(t, ask(secure, ""), within(time.Second)).check(t, failed, "health rpc")
}

// Who is not answered, refused by its own dialer, or out of sockets says nothing of the
// module, whatever it was asked over.
func TestWhatAFailedConnectMeans(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want outcome
	}{
		"refused":         {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, failed},
		"reset":           {&net.OpError{Op: "dial", Err: syscall.ECONNRESET}, failed},
		"no answer":       {&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}, unreachable},
		"no route":        {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, unreachable},
		"no network":      {&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}, unreachable},
		"no socket left":  {&net.OpError{Op: "dial", Err: syscall.EMFILE}, unknown},
		"no port left":    {&net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL}, unknown},
		"forbidden":       {errors.New("address refused: 169.254.169.254 is a metadata service's"), unknown},
		"no such name":    {&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, unknown},
		"too late for us": {nil, unreachable},
	} {
		m := newMaker(func(ctx context.Context, _, _ string) (net.Conn, error) {
			if c.err == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, c.err
		})
		port := intstr.FromInt32(80)
		for over, h := range map[string]corev1.ProbeHandler{
			"http": {HTTPGet: &corev1.HTTPGetAction{Port: port}}, "tcp": {TCPSocket: &corev1.TCPSocketAction{Port: port}}, "grpc": {GRPC: &corev1.GRPCAction{Port: 80}},
		} {
			f := m.probe(t.Context(), question{container: &corev1.Container{}, probe: &corev1.Probe{ProbeHandler: h}, timeout: 100 * time.Millisecond, ip: "192.0.2.1"})
			if f.outcome != c.want {
				t.Errorf("%s over %s: outcome %d %q, want %d", name, over, f.outcome, f.text, c.want)
			}
		}
	}
}

// What differs at each try is not told: a status is written for each text.
func TestTheSameFailureHasTheSameWords(t *testing.T) {
	l := listens(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}()
	h := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: portFrom(t, l.Addr().String())}}
	g := corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: h.HTTPGet.Port.IntVal}}
	for over, is := range map[string]corev1.ProbeHandler{"http": h, "grpc": g} {
		if f := asks(t, is); f.outcome != failed || strings.Contains(f.text, "->") {
			t.Errorf("over %s: %+v", over, f)
		}
	}
	for text, want := range map[string]string{
		`Get "http://10.0.0.1:80/": read tcp 10.0.0.9:51234->10.0.0.1:80: read: connection reset by peer`: `Get "http://10.0.0.1:80/": read tcp 10.0.0.1:80: read: connection reset by peer`,
		"write tcp [fd00::9]:51234->[fd00::1]:80: write: broken pipe":                                     "write tcp [fd00::1]:80: write: broken pipe",
		"a -> b": "a -> b",
	} {
		if got := stable(text); got != want {
			t.Errorf("%q is told as %q", text, got)
		}
	}
}

func TestURLs(t *testing.T) {
	for path, want := range map[string]string{"": "http://[::1]:80", "/a?b=c#d": "http://[::1]:80/a?b=c#d", "/%zz": "http://[::1]:80/%25zz"} {
		got := urlOf(&corev1.HTTPGetAction{Path: path}, "::1", "80")
		if _, err := url.Parse(got.String()); err != nil || got.String() != want {
			t.Errorf("%q is %s, want %s (%v)", path, got, want, err)
		}
	}
}

func BenchmarkHTTPProbe(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	u, _ := url.Parse(s.URL)
	q := question{
		container: &corev1.Container{}, timeout: 5 * time.Second, ip: "127.0.0.1",
		probe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.Parse(u.Port())}}},
	}
	m := newMaker((&net.Dialer{}).DialContext)
	for b.Loop() {
		if f := m.probe(b.Context(), q); f.outcome != passed {
			b.Fatal(f)
		}
	}
}
