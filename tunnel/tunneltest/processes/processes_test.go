package processes

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

var fleetKey = []byte("the key of the fleet")

// freeAddresses finds ports that nobody listens on, each another one.
func freeAddresses(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		all = append(all, l.Addr().String())
	}
	return all
}

func newTunnel(t *testing.T, address string, gate tunnel.Gate) *Tunnel {
	t.Helper()
	tun, err := New(Config{Listen: address, Key: fleetKey, Environments: []string{"default"}, Gate: gate})
	if err != nil {
		t.Fatal(err)
	}
	return tun
}

// The second stack passes the suite of all tunnels, with three replicas. Its bases prove that
// they have keys of the fleet.
func TestConformance(t *testing.T) {
	tunneltest.RunConformance(t, func(t *testing.T, team *tunneltest.Team) tunneltest.Kit {
		t.Helper()
		addresses, dir := freeAddresses(t, tunneltest.Replicas), t.TempDir()
		kit := tunneltest.Kit{Switches: true, Stack: tunneltest.Stack{
			New: func(o tunneltest.Options) (tunneltest.Base, error) {
				key := fleetKey
				if o.Stranger {
					key = []byte("the key of another fleet")
				}
				o.Identity = cmp.Or(o.Identity, "base-1")
				return NewBase(key, "default", o), nil
			},
			Put: func(m tunneltest.Module) (string, error) { return Put(dir, m) },
			Play: func(ctx context.Context, bases []tunneltest.Base) error {
				f := Fleet{Addresses: addresses, Heartbeat: 100 * time.Millisecond}
				for _, b := range bases {
					f.Bases = append(f.Bases, b.(*Base))
				}
				f.Run(ctx)
				return nil
			},
		}}
		for n, address := range addresses {
			kit.Tunnels[n] = newTunnel(t, address, team.Gate(n))
		}
		return kit
	})
}

// Whoever has not the key of an identity is not heard, whatever else it knows: another base's
// key, a proof of another challenge, an environment that is not served.
func TestAStrangerIsNotHeard(t *testing.T) {
	address, sink := freeAddresses(t, 1)[0], &tunneltest.RecordingSink{}
	tun := newTunnel(t, address, tunnel.Open)
	tunneltest.During(t, func(ctx context.Context) error { return tun.Run(ctx, sink) })
	tunneltest.Await(t, "the link", func() bool { return sink.Recorded().Up() })
	say := func(h hello, prove func(challenge string) string) {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		in := bufio.NewReader(conn)
		var asks struct{ Challenge string }
		if err := read(in, &asks); err != nil {
			t.Fatal(err)
		}
		h.Proof = prove(asks.Challenge)
		if err := (&speaker{conn: conn}).say(line{Hello: &h}); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%+v is let in: %v", h, err)
		}
	}
	b1, b2, other := KeyOf(fleetKey, "default", "b1"), KeyOf(fleetKey, "default", "b2"), KeyOf(fleetKey, "other", "b1")
	say(hello{Env: "default", Identity: "b1"}, func(string) string { return "" })
	say(hello{Env: "default", Identity: "b1"}, func(c string) string { return proofOf(b2, c) })
	say(hello{Env: "default", Identity: "b1"}, func(string) string { return proofOf(b1, "a challenge of yesterday") })
	say(hello{Env: "other", Identity: "b1"}, func(c string) string { return proofOf(other, c) })
	if beats := sink.Recorded().Beats; len(beats) > 0 {
		t.Errorf("strangers were heard: %+v", beats)
	}
}
