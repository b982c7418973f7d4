package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// quietAt is a workload at an address of this host.
func quietAt(ip string, port int, change ...func(*Quiet)) Quiet {
	q := Quiet{Workload: Workload{Name: "ns/" + ip + "/1", Addresses: addresses(ip)}, Port: port}
	q.Base.Hostname = "host"
	for _, c := range change {
		c(&q)
	}
	return q
}

// knows are the workloads of quiet bases.
func knows(all ...Quiet) places {
	known := places{}
	for _, q := range all {
		for _, a := range q.Addresses {
			known[a.String()] = q.Workload
		}
	}
	return known
}

// finding has quiet bases found.
func finding(all ...Quiet) func(*Config) {
	return func(c *Config) {
		c.Auth, c.Workloads, c.Quiet = AuthPod, knows(all...), func() []Quiet { return all }
	}
}

// A base that does not announce itself is asked at its workload's address, and heard as it
// would be heard if it spoke: bound to its workload, as that describes it, or as it does.
func TestAQuietBaseIsFound(t *testing.T) {
	for _, runtime := range []string{"1.2.2", "2.1.6"} {
		t.Run(runtime, func(t *testing.T) {
			port := freePort(t, "127.0.0.21")
			base, err := basetest.New(basetest.Options{Identity: "unheard", IP: "127.0.0.21", Runtime: runtime, Name: "base", Version: "3"})
			if err != nil {
				t.Fatal(err)
			}
			tunneltest.During(t, func(ctx context.Context) error {
				return (&basetest.HTTPFleet{Port: port, Bases: []*basetest.Base{base}}).Run(ctx)
			})
			plain := quietAt("127.0.0.21", port)
			_, s, _ := start(t, finding(plain))
			tunneltest.Await(t, "heard", func() bool { return len(s.Recorded().Beats) > 0 })
			got := s.Recorded().Beats[0]
			if got.Received.IsZero() {
				t.Error("it was heard at no time")
			}
			got.Received = time.Time{}
			want := tunnel.Heartbeat{
				Base: tunnel.BaseID{Env: "dev", Identity: "127.0.0.21"}, Tunnel: Name, Sender: tunnel.Sender{Bound: true, Workload: plain.Name},
				Name: got.Name, Version: got.Version, Cluster: "default", IP: "127.0.0.21", Hostname: "host", Port: port,
			}
			if got != want || got.Name == "" || got.Version == "" {
				t.Errorf("heard %+v, want %+v", got, want)
			}
		})
	}
}

// health serves the answer to health, and counts who asks.
func health(t *testing.T, answer string) (port int, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && r.Method == http.MethodPost {
			asked.Add(1)
		}
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port, asked
}

const wellAnswer = `{"code":"SUCCESS","data":{"healthData":{"masterBizInfo":{"bizName":"base","bizVersion":"1.0.0","bizState":"activated"}}}}`

// Who may not be the base that it would be is not even asked, or not believed.
func TestWhichQuietBaseIsNotHeard(t *testing.T) {
	port, asked := health(t, wellAnswer)
	other, _ := health(t, `{"code":"SUCCESS","baseIdentity":"another","data":{}}`)
	broken, _ := health(t, `{"code":"FAILED","data":{}}`)
	junk, _ := health(t, `hello`)
	good := func(change ...func(*Quiet)) Quiet { return quietAt("127.0.0.1", port, change...) }
	declared := Quiet{Workload: Workload{Name: "ns/declared/2", Addresses: addresses("127.0.0.77"), Identity: "orders"}}
	for name, c := range map[string]struct {
		quiet Quiet
		known places
		asked bool
		heard string // the identity; empty for not at all
	}{
		"good":                        {good(), knows(good()), true, "127.0.0.1"},
		"declared":                    {good(func(q *Quiet) { q.Identity = "orders" }), knows(good()), true, "orders"},
		"the address is of nobody":    {good(), places{}, false, ""},
		"the address is of another":   {good(), knows(Quiet{Workload: Workload{Name: "ns/x/1", Addresses: addresses("127.0.0.1")}}), false, ""},
		"declared to be an address":   {good(func(q *Quiet) { q.Identity = "127.0.0.77" }), knows(good()), false, ""},
		"declared to be no identity":  {good(func(q *Quiet) { q.Identity = "../+/#" }), knows(good()), false, ""},
		"no port":                     {good(func(q *Quiet) { q.Port = 0 }), knows(good()), false, ""},
		"a denied address":            {quietAt("127.0.0.9", port), knows(quietAt("127.0.0.9", port)), false, ""},
		"no address":                  {good(func(q *Quiet) { q.Addresses = nil }), knows(good()), false, ""},
		"it answers as another":       {quietAt("127.0.0.1", other), knows(good(), declared), false, ""},
		"it is not well":              {quietAt("127.0.0.1", broken), knows(good()), false, ""},
		"it answers with what is not": {quietAt("127.0.0.1", junk), knows(good()), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Auth, cfg.Workloads, cfg.Quiet = AuthPod, c.known, func() []Quiet { return nil }
			cfg.Denied = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
			tun, err := New(cfg, zaptest.NewLogger(t), tunnel.NoMeter)
			if err != nil {
				t.Fatal(err)
			}
			before, s := asked.Load(), &tunneltest.RecordingSink{}
			answered := tun.askQuiet(t.Context(), c.quiet, s)
			var heard string
			if beats := s.Recorded().Beats; len(beats) > 0 {
				heard = beats[0].Base.Identity
			}
			if heard != c.heard || answered != (c.heard != "") || (asked.Load() > before) != c.asked {
				t.Errorf("heard %q, asked %t, answered %t; want %q, %t", heard, asked.Load() > before, answered, c.heard, c.asked)
			}
		})
	}
}

// owning are peers of whom one owns a base, and should own all.
type owning struct {
	Peers
	base tunnel.BaseID
}

func (o owning) Owner(tunnel.BaseID) Peer  { return Peer{Address: "127.0.0.1:1"} }
func (o owning) Owns(b tunnel.BaseID) bool { return b == o.base }

// A base is asked by its owner, and by all while nobody owns it, whoever should; by nobody who
// may not act.
func TestWhoAsksAQuietBase(t *testing.T) {
	port, asked := health(t, wellAnswer)
	q := quietAt("127.0.0.1", port)
	for name, c := range map[string]struct {
		owner tunnel.BaseID
		shut  bool
		asks  bool
	}{
		"its owner, or nobody owns it": {tunnel.BaseID{Env: "dev", Identity: "other"}, false, true},
		"another owns it":              {tunnel.BaseID{Env: "dev", Identity: "127.0.0.1"}, false, false},
		"who may not act":              {tunnel.BaseID{}, true, false},
	} {
		cfg := testConfig(t)
		finding(q)(&cfg)
		cfg.Peers, cfg.Key = owning{base: c.owner}, newKey(t)
		if c.shut {
			cfg.Gate = shut{}
		}
		tun, err := New(cfg, zaptest.NewLogger(t), tunnel.NoMeter)
		if err != nil {
			t.Fatal(err)
		}
		before, s := asked.Load(), &tunneltest.RecordingSink{}
		tun.askQuiet(t.Context(), q, s)
		if got := asked.Load() > before; got != c.asks || (len(s.Recorded().Beats) > 0) != c.asks {
			t.Errorf("%s: asked %t, heard %d times; want %t", name, got, len(s.Recorded().Beats), c.asks)
		}
	}
}

// shut is a gate that is shut.
type shut struct{}

func (shut) Valid() bool { return false }

func (shut) Fresh(ctx context.Context, _ time.Time) error {
	<-ctx.Done()
	return errors.New("shut")
}

// When quiet bases are asked: evenly while they answer, soon and then less often while they do
// not, and not while they announce themselves. Who does not answer keeps nobody from being
// asked who does.
func TestWhenQuietBasesAreAsked(t *testing.T) {
	f, now := newFinder(), time.Now()
	look := func() (names []string) {
		now = now.Add(findLook)
		for _, q := range f.due([]Quiet{quietAt("10.0.0.1", 1), quietAt("10.0.0.2", 1)}, now) {
			names = append(names, q.Addresses[0].String())
			f.end(q, now, q.Addresses[0].String() == "10.0.0.1")
		}
		return names
	}
	var first, second []int
	for second0 := range 40 {
		names := look()
		if slices.Contains(names, "10.0.0.1") {
			first = append(first, second0)
		}
		if slices.Contains(names, "10.0.0.2") {
			second = append(second, second0)
		}
	}
	if want := []int{0, 10, 20, 30}; !slices.Equal(first, want) {
		t.Errorf("one that answers was asked at %v, want %v", first, want)
	}
	if want := []int{0, 2, 6, 14, 24, 34}; !slices.Equal(second, want) {
		t.Errorf("one that does not was asked at %v, want %v", second, want)
	}
	f.announces(tunnel.Sender{Bound: true, Workload: "ns/10.0.0.1/1"}, now)
	for range int(announcedFor/findLook) - 1 {
		if names := look(); slices.Contains(names, "10.0.0.1") {
			t.Fatal("one that announces itself was asked")
		}
	}
	if names := look(); !slices.Contains(names, "10.0.0.1") {
		t.Error("one that announces itself no more is not asked")
	}
}

func TestQuietBasesThatHangLeaveRoomForOthers(t *testing.T) {
	f, now := newFinder(), time.Now()
	var dead []Quiet
	for n := range 1000 {
		dead = append(dead, quietAt(fmt.Sprintf("10.1.%d.%d", n>>8, n&255), 1))
	}
	hanging := f.due(dead, now)
	if len(hanging) != findAtOnce/2 {
		t.Errorf("%d that nobody knows are asked at once, want %d", len(hanging), findAtOnce/2)
	}
	well := quietAt("10.0.0.1", 1)
	f.known[well.Name] = &patience{}
	if due := f.due(append(dead, well), now); len(due) != 1 || due[0].Name != well.Name {
		t.Errorf("asked %d, want the one that answers", len(due))
	}
	for _, q := range hanging {
		f.end(q, now, false)
	}
	f.end(well, now, true)
	if f.due(nil, now); len(f.known) != 0 || f.asking != 0 || f.doubted != 0 {
		t.Errorf("of workloads that are no more %d are kept; %d are asked, %d doubted", len(f.known), f.asking, f.doubted)
	}
}

// Nobody is asked once Run has ended.
func TestFindingEndsWithRun(t *testing.T) {
	began := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or it would not be noticed that the client goes
		once.Do(func() { close(began) })
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	cfg := testConfig(t)
	finding(quietAt("127.0.0.1", server.Listener.Addr().(*net.TCPAddr).Port))(&cfg)
	tun, err := New(cfg, zaptest.NewLogger(t), tunnel.NoMeter)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	s := &tunneltest.RecordingSink{}
	go func() { ended <- tun.Run(ctx, s) }()
	<-began
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(s.Recorded().Beats) > 0 {
		t.Error("one that did not answer was heard")
	}
}

// freePort is one at an address of this host.
func freePort(t *testing.T, ip string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
