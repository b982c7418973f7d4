package mqtttunnel

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// held is a tunnel on which the messages of base 1 are decoded only when they may be.
func held(t *testing.T, broker *basetest.Broker) (tun *Tunnel, s *tunneltest.RecordingSink, dropped *counts, began, may chan struct{}) {
	t.Helper()
	dropped = newCounts()
	tun = meteredTunnel(t, broker.Address(), dropped, func(c *Config) { c.Environments = []string{"dev"} })
	began, may = make(chan struct{}, 100), make(chan struct{})
	tun.decoders.decode = func(m received) {
		if m.base == id(1) {
			began <- struct{}{}
			select {
			case <-may:
			case <-t.Context().Done():
			}
		}
		tun.decode(m)
	}
	s = &tunneltest.RecordingSink{}
	tunneltest.During(t, func(ctx context.Context) error { return tun.Run(ctx, s) })
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	return tun, s, dropped, began, may
}

// elsewhere gives a base that another decoder than base 1's decodes.
func elsewhere(tun *Tunnel) tunnel.BaseID {
	n := 2
	for tun.decoders.of(id(n)) == tun.decoders.of(id(1)) {
		n++
	}
	return id(n)
}

// While a base's message is decoded, however long that takes, the connection and the
// other bases go on, and what it sends meanwhile is its own loss.
func TestABaseThatIsDecodedDelaysNoOther(t *testing.T) {
	broker := newBroker(t)
	tun, s, dropped, began, may := held(t, broker)
	other := elsewhere(tun)
	tun.Follow(tunnel.Heartbeat{Base: id(1)})
	tun.Follow(tunnel.Heartbeat{Base: other})
	tunneltest.Await(t, "both followed", tun.hears(2))
	say(t, broker, id(1))
	<-began
	const more = 10
	for range maxBaseMessages + more {
		say(t, broker, id(1))
	}
	say(t, broker, other)
	tunneltest.Await(t, "the other's list", func() bool { return s.Recorded().Lists(other) == 1 })
	tunneltest.Await(t, "what is too much is dropped", func() bool { return dropped.of("base_busy") == more })
	if n := s.Recorded().Lists(id(1)); n != 0 {
		t.Errorf("%d lists came that were not decoded", n)
	}
	close(may)
	tunneltest.Await(t, "the rest", func() bool { return s.Recorded().Lists(id(1)) == 1+maxBaseMessages })
}

// What waited while its base was unfollowed is not reported.
func TestWhatWaitsOfAnUnfollowedBaseIsNotReported(t *testing.T) {
	broker := newBroker(t)
	tun, s, dropped, began, may := held(t, broker)
	tun.Follow(tunnel.Heartbeat{Base: id(1)})
	tunneltest.Await(t, "followed", tun.hears(1))
	say(t, broker, id(1))
	<-began
	tun.Unfollow(id(1))
	close(may)
	tunneltest.Await(t, "it to be dropped", func() bool { return dropped.of("not_followed") == 1 })
	if n := s.Recorded().Lists(id(1)); n != 0 {
		t.Errorf("%d lists of a base that is not followed were reported", n)
	}
}

// Anybody may announce a base: what announces one is short.
func TestALongAnnouncementIsNotDecoded(t *testing.T) {
	broker := newBroker(t)
	_, s, dropped := countedOn(t, broker, nil)
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	beat := func(name string) []byte {
		return fmt.Appendf(nil, `{"publishTimestamp":1,"data":{"baseMetadata":{"identity":"b1","name":%q},"localIP":"10.0.0.1","localHostName":"h","port":0}}`, name)
	}
	for _, name := range []string{strings.Repeat("x", maxAnnouncement), "shop"} {
		if err := broker.Publish("koupleless_dev/b1/base/heart", beat(name), false); err != nil {
			t.Fatal(err)
		}
	}
	tunneltest.Await(t, "the short one", func() bool { return len(s.Recorded().Beats) == 1 })
	if got := s.Recorded().Beats[0].Name; got != "shop" || dropped.of("too_large") != 1 {
		t.Errorf("heard of %.20q, %d too large", got, dropped.of("too_large"))
	}
}
