package mqtttunnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/internal/arklet"
	"module-controller/tunnel/tunneltest"
)

func startOn(t *testing.T, address string, change func(*Config)) (*Tunnel, *tunneltest.RecordingSink) {
	t.Helper()
	return startMetered(t, address, tunnel.NoMeter, change)
}

// countedOn counts what is dropped.
func countedOn(t *testing.T, broker *basetest.Broker, change func(*Config)) (*Tunnel, *tunneltest.RecordingSink, *counts) {
	t.Helper()
	c := newCounts()
	tun, s := startMetered(t, broker.Address(), c, change)
	return tun, s, c
}

func startMetered(t *testing.T, address string, meter tunnel.Meter, change func(*Config)) (*Tunnel, *tunneltest.RecordingSink) {
	t.Helper()
	tun := meteredTunnel(t, address, meter, func(c *Config) {
		c.ClientID, c.Environments = "test-"+t.Name(), []string{"dev"}
		c.ProbeEvery, c.Timeout = 200*time.Millisecond, 2*time.Second
		if change != nil {
			change(c)
		}
	})
	s := &tunneltest.RecordingSink{}
	tunneltest.During(t, func(ctx context.Context) error { return tun.Run(ctx, s) })
	return tun, s
}

func newBroker(t *testing.T) *basetest.Broker {
	t.Helper()
	b, err := basetest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

func id(n int) tunnel.BaseID { return tunnel.BaseID{Env: "dev", Identity: fmt.Sprintf("b%d", n)} }

// say has the broker publish a list of a base.
func say(t *testing.T, b *basetest.Broker, base tunnel.BaseID) {
	t.Helper()
	if err := b.Publish("koupleless_dev/"+base.Identity+"/base/simpleBiz", []byte(`{"publishTimestamp":1,"data":[]}`), false); err != nil {
		t.Fatal(err)
	}
}

// A queryBaseline says that the base has just started only beside the heartbeat that the
// base said with it: one that comes later, or once more, is of a start long ago.
func TestALateBeginningIsNone(t *testing.T) {
	broker := newBroker(t)
	_, s := startOn(t, broker.Address(), nil)
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	say := func(topic string, stamp int, data string) {
		t.Helper()
		payload := fmt.Sprintf(`{"publishTimestamp":%d,"data":%s}`, stamp, data)
		if err := broker.Publish("koupleless_dev/b1/base/"+topic, []byte(payload), false); err != nil {
			t.Fatal(err)
		}
	}
	const metadata = `{"identity":"b1","name":"shop","version":"1","clusterName":"c"}`
	const heart = `{"baseMetadata":` + metadata + `,"localIP":"10.0.0.1","localHostName":"h","port":0,"state":"activated"}`
	say("queryBaseline", 1000, metadata)
	say("heart", 1100, heart)
	say("heart", 61_100, heart)
	say("queryBaseline", 1000, metadata)
	say("heart", 71_100, heart)
	say("queryBaseline", 3_600_000, metadata)
	say("heart", 81_100, heart) // of the process before
	say("heart", 3_600_100, heart)
	tunneltest.Await(t, "five heartbeats", func() bool { return len(s.Recorded().Beats) == 5 })
	for n, first := range []bool{true, false, false, false, true} {
		if got := s.Recorded().Beats[n].Restarted; got != first {
			t.Errorf("heartbeat %d begins the base: %t, want %t", n+1, got, first)
		}
		if got, want := s.Recorded().Beats[n].Sender, (tunnel.Sender{Bound: true}); got != want {
			t.Errorf("heartbeat %d is of %+v, want %+v", n+1, got, want)
		}
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
	tunneltest.Await(t, "all followed", tun.hears(bases))
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "link down", func() bool { return !s.Recorded().Up() })
	if err := tun.Do(t.Context(), id(1), tunnel.Command{Verb: tunnel.ListModules}); err == nil {
		t.Error("a command was taken while the broker is away")
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "all followed again", tun.hears(bases))
	say(t, broker, id(999))
	tunneltest.Await(t, "a report", func() bool { return s.Recorded().Lists(id(999)) > 0 })
	tun.Unfollow(id(999))
	tunneltest.Await(t, "one less", tun.hears(bases-1))
	if err := tun.Do(t.Context(), id(999), tunnel.Command{Verb: tunnel.ListModules}); err == nil {
		t.Error("a command to a base that is not followed was taken")
	}
}

// With wildcards the broker delivers the reports of all bases, followed or not.
func TestAnUnfollowedBaseIsNotReported(t *testing.T) {
	broker := newBroker(t)
	tun, s := startOn(t, broker.Address(), func(c *Config) { c.Wildcards = true })
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	tun.Follow(tunnel.Heartbeat{Base: id(0)})
	tun.Follow(tunnel.Heartbeat{Base: id(1)})
	tun.Unfollow(id(0))
	say(t, broker, id(0))
	say(t, broker, id(1))
	tunneltest.Await(t, "the other's list", func() bool { return s.Recorded().Lists(id(1)) == 1 })
	if n := s.Recorded().Lists(id(0)); n != 0 {
		t.Errorf("%d lists of a base that is not followed were reported", n)
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
	tunneltest.Await(t, "the other is followed", tun.hears(1))
	if err := tun.Do(t.Context(), id(1), tunnel.Command{Verb: tunnel.ListModules}); err == nil {
		t.Error("a command was sent whose answer cannot be heard")
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	tunneltest.Await(t, "both are followed", tun.hears(2))
}

// The race detector sees a result that is read while it comes.
func TestASubscriptionThatIsGivenUpHasNoResult(t *testing.T) {
	tun, s := startOn(t, newBroker(t).Address(), nil)
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	tun.mu.RLock()
	session := tun.current
	tun.mu.RUnlock()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 100 {
		refused, err := session.subscribe(over, []string{arklet.Reports(id(n)), arklet.Reports(id(1000 + n))})
		if len(refused) > 0 || err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("refused %v, %v", refused, err)
		}
	}
	if refused, err := session.subscribe(t.Context(), []string{arklet.Reports(id(0))}); len(refused) > 0 || err != nil {
		t.Errorf("refused %v, %v", refused, err)
	}
}

func TestADeafBrokerIsLeft(t *testing.T) {
	broker := newBroker(t)
	_, s := startOn(t, broker.Address(), nil)
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	broker.Deafen(true)
	tunneltest.Await(t, "link down", func() bool { return !s.Recorded().Up() })
	broker.Deafen(false)
	tunneltest.Await(t, "link up again", func() bool { return s.Recorded().Up() })
}

// Two processes with one client id throw each other out; each waits longer and
// longer.
func TestTwoWithOneClientIDDoNotLoop(t *testing.T) {
	broker := newBroker(t)
	same := func(c *Config) { c.ClientID = "same" }
	_, a := startOn(t, broker.Address(), same)
	_, b := startOn(t, broker.Address(), same)
	began := time.Now()
	tunneltest.Await(t, "three exchanges", func() bool {
		return a.Recorded().Ups() >= 2 && b.Recorded().Ups() >= 2
	})
	ups := a.Recorded().Ups() + b.Recorded().Ups()
	if most := 8 + 4*int(time.Since(began)/time.Second); ups > most {
		t.Errorf("%d connections in %s", ups, time.Since(began))
	}
}

func TestNothingIsRetainedAndLeftoversAreCleared(t *testing.T) {
	broker := newBroker(t)
	for _, topic := range []string{"koupleless_dev/b0/installBiz", "koupleless_dev/b0/base/heart"} {
		if err := broker.Publish(topic, []byte(`{"bizName":"old"}`), true); err != nil {
			t.Fatal(err)
		}
	}
	var sent, retained atomic.Int32
	broker.Observe(func(p basetest.Published) {
		switch {
		case !strings.HasPrefix(p.Topic, "koupleless_dev/b0/"), len(p.Payload) == 0: // empty clears what is retained
		case p.Retain:
			retained.Add(1)
			sent.Add(1)
		default:
			sent.Add(1)
		}
	})
	tun, s := startOn(t, broker.Address(), func(c *Config) { c.ClearRetained = true })
	tun.Follow(tunnel.Heartbeat{Base: id(0)})
	tunneltest.Await(t, "followed", tun.hears(1))
	for _, v := range []tunnel.Verb{tunnel.InstallModule, tunnel.UninstallModule, tunnel.ListModules, tunnel.ReadHealth} {
		if err := tun.Do(t.Context(), id(0), tunnel.Command{Verb: v, Module: tunnel.ModuleKey{Name: "m", Version: "1"}, URL: "file:///m.jar"}); err != nil {
			t.Fatal(err)
		}
	}
	tunneltest.Await(t, "the broker has the commands", func() bool { return sent.Load() == 4 })
	if n := retained.Load(); n > 0 {
		t.Fatalf("%d commands are retained", n)
	}
	tunneltest.Await(t, "the command is cleared", func() bool {
		left := broker.Retained()
		return len(left) == 1 && left[0] == "koupleless_dev/b0/base/heart"
	})
	if beats := s.Recorded().Beats; len(beats) != 0 {
		t.Errorf("a retained heartbeat was believed: %+v", beats)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := New(Config{Broker: "tcp://host/x", Port: 70000, Password: "p", CertFile: "c", KeepAlive: -1, MaxPacket: 1000, Environments: []string{"a/b"}}, zaptest.NewLogger(t), tunnel.NoMeter)
	for _, want := range []string{"tcp://host/x", "70000", "client ID", "a/b", "MQTT_USERNAME", "MQTT_CLIENT_KEY_PATH", "TLS", "MQTT_KEEP_ALIVE", "largest MQTT message (1000 bytes)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
}
