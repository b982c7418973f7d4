package httptunnel

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// team is Peers in the hand of a test.
type team struct {
	owner   Peer     // of every base
	members []string // fingerprints
	refused atomic.Int32
}

func (p *team) Owner(tunnel.BaseID) Peer       { return p.owner }
func (p *team) Owns(tunnel.BaseID) bool        { return p.owner != (Peer{}) }
func (p *team) Refused(tunnel.BaseID)          { p.refused.Add(1) }
func (p *team) Member(fingerprint string) bool { return slices.Contains(p.members, fingerprint) }

func newKey(t testing.TB) *Key {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// replica is a tunnel that has peers.
type replica struct {
	*team
	tun   *Tunnel
	key   *Key
	sink  *tunneltest.RecordingSink
	url   string // where bases send their heartbeats
	peers string // where peers do, host:port
	*counts
	logs *observer.ObservedLogs // warnings
}

func startReplica(t *testing.T, change ...func(*Config)) *replica {
	t.Helper()
	r := &replica{team: &team{}, key: newKey(t), peers: freeAddress(t), counts: &counts{}}
	cfg := testConfig(t)
	cfg.Peers, cfg.Key, cfg.ListenPeers = r.team, r.key, r.peers
	for _, c := range change {
		c(&cfg)
	}
	core, logs := observer.New(zapcore.WarnLevel)
	r.logs = logs
	log := zaptest.NewLogger(t, zaptest.WrapOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, core) })))
	tun, err := New(cfg, log, r.counts)
	if err != nil {
		t.Fatal(err)
	}
	r.tun, r.sink, r.url = tun, &tunneltest.RecordingSink{}, "http://"+cfg.Listen
	run(t, tun, r.sink)
	return r
}

// tells checks that a heartbeat which reached no owner is told of: whose it is, and what helps.
func (r *replica) tells(t *testing.T, reason, identity string) {
	t.Helper()
	told := r.logs.FilterMessage("heartbeat not forwarded").FilterField(zap.String("reason", reason)).All()
	if len(told) == 0 {
		t.Fatalf("%s is not told", reason)
	}
	if m := told[0].ContextMap(); !strings.HasPrefix(m["identity"].(string), identity) || m["remedy"] == "" || m["error"] == "" {
		t.Errorf("%s is told as %v", reason, m)
	}
}

// peer is r as its membership Lease tells of it.
func (r *replica) peer() Peer { return Peer{Address: r.peers, Fingerprint: r.key.Fingerprint} }

// heard is how many heartbeats it heard.
func (r *replica) heard() int { return len(r.sink.Recorded().Beats) }

// beat has a base send it a heartbeat.
func (r *replica) beat(t *testing.T, identity string) {
	t.Helper()
	if got := post(t, r.url+"/heartbeat", beat(identity, "127.0.0.1", 1)); got != http.StatusOK {
		t.Fatalf("heartbeat of %s: status %d", identity, got)
	}
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
	owner, other := startReplica(t), startReplica(t)
	owner.members, other.owner = []string{other.key.Fingerprint}, owner.peer()
	owner.owner, other.members = other.peer(), []string{owner.key.Fingerprint} // who thinks otherwise must not send it back
	other.beat(t, "b1")
	tunneltest.Await(t, "the owner to hear", func() bool { return owner.heard() == 1 })
	owner.owner = Peer{}
	owner.beat(t, "b2")
	tunneltest.Await(t, "the second base", func() bool { return owner.heard() == 2 })
	if heard := other.heard(); heard != 1 {
		t.Errorf("the other heard %d heartbeats, want the one that reached it", heard)
	}
}

// Who has no member's key gets no word in, whatever he says.
func TestOnlyMembersMayPassOn(t *testing.T) {
	owner, stranger := startReplica(t), startReplica(t)
	owner.members = []string{newKey(t).Fingerprint}
	stranger.owner = owner.peer()
	stranger.beat(t, "b1")
	tunneltest.Await(t, "the refusal to be counted", func() bool { return owner.of("peer_unauthorized") > 0 })
	tunneltest.Await(t, "the sender to notice", func() bool { return stranger.of("peer_unreachable") > 0 })
	if heard := owner.heard(); heard != 0 {
		t.Errorf("%d heartbeats of strangers were heard", heard)
	}
	if got := post(t, owner.url+"/peer/heartbeat", beat("b1", "127.0.0.1", 1)); got != http.StatusNotFound {
		t.Errorf("bases' port takes what peers forward: status %d", got)
	}
	without := owner.key.client(owner.peer())
	without.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+owner.peers+peerPath, strings.NewReader(beat("b1", "127.0.0.1", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := without.Do(r); err == nil {
		_ = answer.Body.Close()
		t.Errorf("without a certificate: status %s", answer.Status)
	}
}

// Whoever listens at a member's address and is not that member's session learns nothing:
// he is asked for his key before a byte of a heartbeat is sent.
func TestAnImpostorAtAPeersAddressLearnsNothing(t *testing.T) {
	sender, impostor := startReplica(t), startReplica(t)
	impostor.members = []string{sender.key.Fingerprint}
	sender.owner = Peer{Address: impostor.peers, Fingerprint: newKey(t).Fingerprint}
	sender.beat(t, "b1")
	tunneltest.Await(t, "the sender to give up", func() bool { return sender.of("peer_unreachable") == 1 })
	if heard := impostor.heard(); heard != 0 {
		t.Errorf("the impostor heard %d heartbeats", heard)
	}
}

func TestAPeerWhereNobodyListensIsToldOf(t *testing.T) {
	r := startReplica(t)
	r.owner = Peer{Address: freeAddress(t), Fingerprint: newKey(t).Fingerprint}
	r.beat(t, "b1")
	tunneltest.Await(t, "the hint", func() bool { return r.refused.Load() == 1 })
	r.tells(t, "peer_unreachable", "b1")
}

// A peer that accepts connections and says nothing delays heartbeats for no other peer.
func TestASilentPeerDelaysNoOther(t *testing.T) {
	deaf, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	sender, owner := startReplica(t), startReplica(t)
	owner.members = []string{sender.key.Fingerprint}
	silent := Peer{Address: deaf.Addr().String(), Fingerprint: newKey(t).Fingerprint}
	sender.owner = silent
	for i := range maxLetters + 2 {
		sender.tun.enqueue(letter{heartbeat: tunnel.Heartbeat{Base: tunnel.BaseID{Env: "dev", Identity: fmt.Sprint("unlucky-", i)}}})
	}
	sender.owner = owner.peer()
	sender.beat(t, "sound")
	tunneltest.Await(t, "the owner to hear the one that is its own", func() bool { return owner.heard() == 1 })
	if n := sender.of("peer_busy"); n == 0 {
		t.Error("all that the silent peer did not take is kept")
	}
	sender.tells(t, "peer_busy", "unlucky-")
}

// Of what one sender says of a base a peer gets the last word. However often it speaks, and
// whoever else speaks for the base, no other's heartbeat is lost.
func TestAFloodTakesNoRoomInAnOutbox(t *testing.T) {
	box := &outbox{wake: make(chan struct{}, 1), letters: map[topic]letter{}}
	says := func(from, identity string, port int) {
		t.Helper()
		if !box.put(letter{from: from, heartbeat: tunnel.Heartbeat{Base: tunnel.BaseID{Env: "dev", Identity: identity}, Port: port}}) {
			t.Errorf("no room for %s of %s", identity, from)
		}
	}
	says("ns/sound/1", "sound", 1)
	for i := range 2 * maxLetters {
		says("ns/flood/1", fmt.Sprint("flood-", i%8), i)
		says("ns/flood/1", "sound", 2) // who contends, too
	}
	says("ns/other/1", "other", 3)
	var got []string
	for l, ok := box.take(); ok; l, ok = box.take() {
		got = append(got, fmt.Sprintf("%s of %s at %d", l.heartbeat.Base.Identity, l.from, l.heartbeat.Port))
	}
	want := []string{"sound of ns/sound/1 at 1", "flood-0 of ns/flood/1 at 2040", "sound of ns/flood/1 at 2"}
	for i := 1; i < 8; i++ {
		want = append(want, fmt.Sprintf("flood-%d of ns/flood/1 at %d", i, 2040+i))
	}
	if want = append(want, "other of ns/other/1 at 3"); !slices.Equal(got, want) {
		t.Errorf("it has\n%q, want\n%q", got, want)
	}
	if len(box.letters) > 0 {
		t.Errorf("left are %v", box.letters)
	}
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
