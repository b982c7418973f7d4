package mqtttunnel

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// sink collects what a tunnel hears.
type sink struct {
	mu      sync.Mutex
	beats   []tunnel.Heartbeat
	reports map[tunnel.BaseID]int
	ups     int
	up      bool
}

func (s *sink) Heartbeat(h tunnel.Heartbeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats = append(s.beats, h)
}

func (s *sink) Report(r tunnel.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[r.Base]++
}

func (s *sink) Link(l tunnel.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up = l.Up; l.Up {
		s.ups++
	}
}

func (s *sink) see(look func() bool) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return look()
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func startOn(t *testing.T, address string, change func(*Config)) (*Tunnel, *sink) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	cfg := Config{Broker: host, Port: n, ClientID: "test-" + t.Name(), Environments: []string{"dev"}, ProbeEvery: 200 * time.Millisecond, Timeout: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	tun, err := New(cfg, zaptest.NewLogger(t), tunnel.NoMeter)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{reports: map[tunnel.BaseID]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tun.Run(ctx, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tun, s
}

func newBroker(t *testing.T) *tunneltest.Broker {
	t.Helper()
	b, err := tunneltest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

func id(n int) tunnel.BaseID { return tunnel.BaseID{Env: "dev", Identity: fmt.Sprintf("b%d", n)} }

// say has the broker publish a list of a base.
func say(t *testing.T, b *tunneltest.Broker, base tunnel.BaseID) {
	t.Helper()
	if err := b.Publish("koupleless_dev/"+base.Identity+"/base/simpleBiz", []byte(`{"publishTimestamp":1,"data":[]}`), false); err != nil {
		t.Fatal(err)
	}
}

func (t *Tunnel) hears(bases int) func() bool {
	return func() bool {
		t.mu.RLock()
		defer t.mu.RUnlock()
		return t.current != nil && len(t.current.subscribed) == bases
	}
}

func TestFollowedBasesAreHeardAgainAfterAnOutage(t *testing.T) {
	const bases = 1000
	broker := newBroker(t)
	tun, s := startOn(t, broker.Address(), nil)
	for n := range bases {
		tun.Follow(tunnel.Heartbeat{Base: id(n)})
	}
	eventually(t, "all followed", tun.hears(bases))
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "link down", s.see(func() bool { return !s.up }))
	if err := tun.Do(t.Context(), id(1), tunnel.Command{Verb: tunnel.ListModules}); err == nil {
		t.Error("a command was taken while the broker is away")
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all followed again", tun.hears(bases))
	say(t, broker, id(999))
	eventually(t, "a report", s.see(func() bool { return s.reports[id(999)] > 0 }))
	tun.Unfollow(id(999))
	eventually(t, "one less", tun.hears(bases-1))
	if err := tun.Do(t.Context(), id(999), tunnel.Command{Verb: tunnel.ListModules}); err == nil {
		t.Error("a command to a base that is not followed was taken")
	}
}

func TestARefusedFilterIsTriedAgain(t *testing.T) {
	broker := newBroker(t)
	var mu sync.Mutex
	refuse := true
	broker.Deny(func(filter string) bool {
		mu.Lock()
		defer mu.Unlock()
		return refuse && strings.Contains(filter, "/b1/")
	})
	tun, _ := startOn(t, broker.Address(), nil)
	tun.Follow(tunnel.Heartbeat{Base: id(0)})
	tun.Follow(tunnel.Heartbeat{Base: id(1)})
	eventually(t, "the other is followed", tun.hears(1))
	if err := tun.Do(t.Context(), id(1), tunnel.Command{Verb: tunnel.ListModules}); err == nil {
		t.Error("a command was sent whose answer cannot be heard")
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	eventually(t, "both are followed", tun.hears(2))
}

func TestADeafBrokerIsLeft(t *testing.T) {
	broker := newBroker(t)
	_, s := startOn(t, broker.Address(), nil)
	eventually(t, "link up", s.see(func() bool { return s.up }))
	broker.Deafen(true)
	eventually(t, "link down", s.see(func() bool { return !s.up }))
	broker.Deafen(false)
	eventually(t, "link up again", s.see(func() bool { return s.up }))
}

// Two processes with one client id throw each other out; each waits longer and
// longer.
func TestTwoWithOneClientIDDoNotLoop(t *testing.T) {
	broker := newBroker(t)
	same := func(c *Config) { c.ClientID = "same" }
	_, a := startOn(t, broker.Address(), same)
	_, b := startOn(t, broker.Address(), same)
	began := time.Now()
	eventually(t, "three exchanges", func() bool {
		return a.see(func() bool { return a.ups >= 2 })() && b.see(func() bool { return b.ups >= 2 })()
	})
	a.mu.Lock()
	b.mu.Lock()
	defer a.mu.Unlock()
	defer b.mu.Unlock()
	if most := 8 + 4*int(time.Since(began)/time.Second); a.ups+b.ups > most {
		t.Errorf("%d connections in %s", a.ups+b.ups, time.Since(began))
	}
}

func TestNothingIsRetainedAndLeftoversAreCleared(t *testing.T) {
	broker := newBroker(t)
	for _, topic := range []string{"koupleless_dev/b0/installBiz", "koupleless_dev/b0/base/heart"} {
		if err := broker.Publish(topic, []byte(`{"bizName":"old"}`), true); err != nil {
			t.Fatal(err)
		}
	}
	tun, s := startOn(t, broker.Address(), func(c *Config) { c.ClearRetained = true })
	tun.Follow(tunnel.Heartbeat{Base: id(0)})
	eventually(t, "followed", tun.hears(1))
	for _, v := range []tunnel.Verb{tunnel.InstallModule, tunnel.UninstallModule, tunnel.ListModules, tunnel.ReadHealth} {
		if err := tun.Do(t.Context(), id(0), tunnel.Command{Verb: v, Module: tunnel.ModuleKey{Name: "m", Version: "1"}, URL: "file:///m.jar"}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the command is cleared", func() bool {
		left := broker.Retained()
		return len(left) == 1 && left[0] == "koupleless_dev/b0/base/heart"
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.beats) != 0 {
		t.Errorf("a retained heartbeat was believed: %+v", s.beats)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := New(Config{Broker: "tcp://host/x", Port: 70000, Password: "p", CertFile: "c", KeepAlive: -1, Environments: []string{"a/b"}}, zaptest.NewLogger(t), tunnel.NoMeter)
	for _, want := range []string{"tcp://host/x", "70000", "client id", "a/b", "MQTT_USERNAME", "key", "TLS", "keep-alive"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
}

// BenchmarkInbound compares what one message costs with 1 and with 10,000 bases
// followed: the ratio is to be about 1.
func BenchmarkInbound(b *testing.B) {
	for _, bases := range []int{1, 10_000} {
		b.Run(strconv.Itoa(bases), func(b *testing.B) {
			tun := &Tunnel{cfg: Config{}.Complete(), log: zap.NewNop(), meter: tunnel.NoMeter,
				envs: map[string]bool{"dev": true}, followed: map[tunnel.BaseID]struct{}{}}
			for n := range bases {
				tun.followed[id(n)] = struct{}{}
			}
			s := &session{Tunnel: tun, sink: &sink{reports: map[tunnel.BaseID]int{}}}
			m := message{"koupleless_dev/b0/base/simpleBiz", []byte(`{"publishTimestamp":1,"data":[{"name":"orders","version":"1.0.0","state":"activated","latestStateRecord":{"changeTime":1,"state":"ACTIVATED","reason":"STARTED","message":""}}]}`)}
			for b.Loop() {
				s.hear(m)
			}
		})
	}
}

type message struct {
	topic   string
	payload []byte
}

func (m message) Duplicate() bool   { return false }
func (m message) Qos() byte         { return 1 }
func (m message) Retained() bool    { return false }
func (m message) Topic() string     { return m.topic }
func (m message) MessageID() uint16 { return 1 }
func (m message) Payload() []byte   { return m.payload }
func (m message) Ack()              {}
