package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// team is Peers in the hand of a test.
type team struct {
	owner   string // of every base
	token   string
	refused atomic.Int32
}

func (p *team) Owner(tunnel.BaseID) string { return p.owner }
func (p *team) Refused(tunnel.BaseID)      { p.refused.Add(1) }
func (p *team) Token() (string, error)     { return p.token, nil }
func (p *team) Admit(_ context.Context, token string) error {
	switch token {
	case "member":
		return nil
	case "unknown":
		return fmt.Errorf("%w: the API server is away", ErrUnreviewed)
	}
	return errors.New("no member")
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// A heartbeat that reaches another replica is a sign of life there, and is passed on
// to the owner, once.
func TestHeartbeatsArePassedOnOnce(t *testing.T) {
	here := &team{token: "member"}
	_, owner, ownerURL := start(t, func(c *Config) { c.Peers = here })
	_, other, otherURL := start(t, func(c *Config) { c.Peers = &team{token: "member", owner: strings.TrimPrefix(ownerURL, "http://")} })
	here.owner = strings.TrimPrefix(otherURL, "http://") // who thinks otherwise must not send it back
	if got := post(t, otherURL+"/heartbeat", beat("b1", "127.0.0.1", 1)); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	tunneltest.Await(t, "the owner to hear", func() bool { return len(owner.Recorded().Beats) == 1 })
	here.owner = ""
	if got := post(t, ownerURL+"/heartbeat", beat("b2", "127.0.0.1", 1)); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	tunneltest.Await(t, "the second base", func() bool { return len(owner.Recorded().Beats) == 2 })
	if heard := len(other.Recorded().Beats); heard != 1 {
		t.Errorf("the other heard %d heartbeats, want the one that reached it", heard)
	}
}

func TestOnlyMembersMayPassOn(t *testing.T) {
	_, sink, url := start(t, func(c *Config) { c.Peers = &team{} })
	if got := post(t, url+peerPath, beat("b1", "127.0.0.1", 1)); got != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got)
	}
	_, _, alone := start(t, nil)
	if got := post(t, alone+peerPath, beat("b1", "127.0.0.1", 1)); got != http.StatusUnauthorized {
		t.Errorf("without peers: %d", got)
	}
	_, _, stranger := start(t, func(c *Config) { c.Peers = &team{token: "x", owner: strings.TrimPrefix(url, "http://")} })
	if got := post(t, stranger+"/heartbeat", beat("b1", "127.0.0.1", 1)); got != http.StatusOK {
		t.Errorf("a base's own heartbeat: %d", got)
	}
	if heard := len(sink.Recorded().Beats); heard != 0 {
		t.Errorf("%d heartbeats of strangers were heard", heard)
	}
}

// reasons counts what was dropped, by reason.
type reasons map[string]int

func (r reasons) Dropped(_, reason string)                           { r[reason]++ }
func (r reasons) Command(string, tunnel.Verb, string, time.Duration) {}

// While nobody can tell whose a token is, that is not held against who brings it.
func TestATokenThatCannotBeReviewedIsNotRefused(t *testing.T) {
	dropped, sink := reasons{}, &tunneltest.RecordingSink{}
	tun, err := New(Config{Env: "dev", Auth: AuthAnyone, Peers: &team{}, Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, zaptest.NewLogger(t), dropped)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{
		"unknown": http.StatusServiceUnavailable, "stranger": http.StatusUnauthorized, "member": http.StatusOK,
	} {
		r := httptest.NewRequest(http.MethodPost, peerPath, strings.NewReader(beat("b1", "127.0.0.1", 1)))
		r.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		tun.handler(sink).ServeHTTP(answer, r)
		if answer.Code != want {
			t.Errorf("token %q: status %d, want %d", token, answer.Code, want)
		}
	}
	if want := (reasons{"peer_unreviewed": 1, "peer_unauthorized": 1}); !maps.Equal(dropped, want) {
		t.Errorf("dropped %v, want %v", dropped, want)
	}
	if heard := len(sink.Recorded().Beats); heard != 1 {
		t.Errorf("%d heartbeats were heard, want the member's", heard)
	}
}

func TestAPeerWhereNobodyListensIsToldOf(t *testing.T) {
	peers := &team{token: "member", owner: freeAddress(t)}
	_, _, url := start(t, func(c *Config) { c.Peers = peers })
	post(t, url+"/heartbeat", beat("b1", "127.0.0.1", 1))
	tunneltest.Await(t, "the hint", func() bool { return peers.refused.Load() == 1 })
}

// The check stands where bytes leave: a command that began while it was permitted
// does not leave after that.
func TestNothingLeavesThroughAShutGate(t *testing.T) {
	var requests atomic.Int32
	base := serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	g := tunneltest.NewGate()
	tun, sink, _ := start(t, func(c *Config) { c.Gate = g })
	g.Shut(0)
	id := tunnel.BaseID{Env: "dev", Identity: "b1"}
	tun.Follow(tunnel.Heartbeat{Base: id, IP: "127.0.0.1", Port: base})
	if err := tun.Do(t.Context(), id, tunnel.Command{Verb: tunnel.ListModules}); !errors.Is(err, tunnel.ErrShut) {
		t.Errorf("while it is shut: %v", err)
	}
	g.Shut(1) // Do's question is the last that is answered yes
	if err := tun.Do(t.Context(), id, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "the end of it", func() bool {
		tun.mu.Lock()
		defer tun.mu.Unlock()
		return tun.bases[id].busy == 0
	})
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests reached the base", n)
	}
	if heard := sink.Recorded().Reports; len(heard) != 0 {
		t.Errorf("it reported %+v", heard)
	}
}

// serve is a base on a port of 127.0.0.1.
func serve(t *testing.T, h http.HandlerFunc) (port int) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	address, err := netip.ParseAddrPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return int(address.Port())
}
