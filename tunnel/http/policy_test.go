package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

func TestWhereBasesMayBe(t *testing.T) {
	own := func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.9") }
	open := policy{own: own, reserved: func(a netip.Addr) bool { return a == netip.MustParseAddr("10.3.3.3") }, denied: unmapped(prefixes("10.96.0.0/16", "::ffff:192.0.2.1/128", "fd00:96::/112"))}
	listed := open
	listed.allowed = prefixes("10.1.0.0/16", "10.0.0.9/32", "127.0.0.0/8", "fd00:1::/64", "2002::/16")
	all := open
	all.allowed = prefixes("0.0.0.0/0", "::/0")
	for _, c := range []struct {
		address           string
		open, listed, all bool
	}{
		{"10.1.2.3", true, true, true},
		{"::ffff:10.1.2.3", true, true, true},
		{"fd00:1::7", true, true, true},
		{"8.8.8.8", true, false, true},
		{"10.2.0.1", true, false, true},
		{"fd00:2::1", true, false, true},
		// This host's and its link's.
		{"127.0.0.1", false, true, true},
		{"::ffff:127.0.0.1", false, true, true},
		{"10.0.0.9", false, true, true},
		{"::1", false, false, true},
		{"fe80::1", false, false, true},
		{"169.254.1.1", false, false, true},
		// Never.
		{"10.3.3.3", false, false, false},
		{"64:ff9b::10.3.3.3", false, false, false},
		{"10.96.0.1", false, false, false},
		{"::ffff:10.96.0.1", false, false, false},
		{"192.0.2.1", false, false, false},
		{"fd00:96::1", false, false, false},
		{"0.0.0.0", false, false, false},
		{"0.0.0.1", false, false, false},
		{"::", false, false, false},
		{"224.0.0.1", false, false, false},
		{"ff02::1", false, false, false},
		{"240.0.0.1", false, false, false},
		{"255.255.255.255", false, false, false},
		{"169.254.169.254", false, false, false},
		{"169.254.170.2", false, false, false},
		{"100.100.100.200", false, false, false},
		{"168.63.129.16", false, false, false},
		{"192.0.0.192", false, false, false},
		{"fd00:ec2::254", false, false, false},
		{"fd20:ce::254", false, false, false},
		{"fe80::1%eth0", false, false, false},
		// Other forms of an IPv4 address.
		{"64:ff9b::a9fe:a9fe", false, false, false},
		{"64:ff9b::127.0.0.1", false, false, false},
		{"64:ff9b::10.0.0.9", false, false, false},
		{"64:ff9b::8.8.8.8", false, false, true},
		{"64:ff9b:1:a9fe:a9:fe00::", false, false, false}, // as RFC 6052 writes it below a /48
		{"64:ff9b:1::a9fe:a9fe", false, false, false},
		{"::169.254.169.254", false, false, false},
		{"::127.0.0.1", false, false, false},
		{"::ffff:0:169.254.169.254", false, false, false},
		{"2002:a9fe:a9fe::1", false, false, false},
		{"2002:7f00:1::", false, false, false},
		{"2002:808:808::1", false, true, true},
		{"2001:0:a9fe:a9fe::f7f7:f7f7", false, false, false}, // the server
		{"2001:0:808:808::5601:5601", false, false, false},   // the client
		{"2001:0:808:808:0:0:f7f7:f7f7", false, false, true},
	} {
		for name, p := range map[string]struct {
			policy
			want bool
		}{"open": {open, c.open}, "listed": {listed, c.listed}, "all": {all, c.all}} {
			err := p.permits(netip.MustParseAddr(c.address))
			if got := err == nil; got != p.want || err != nil && !errors.Is(err, errAddress) {
				t.Errorf("%s, %s: permitted %v (%v), want %v", c.address, name, got, err, p.want)
			}
		}
	}
	if open.permits(netip.Addr{}) == nil {
		t.Error("no address is permitted")
	}
}

// No list of allowed networks opens an address that is denied, in any form of it.
func TestDeniedWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v4 := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		addr := netip.AddrFrom4(v4)
		p := policy{own: func(netip.Addr) bool { return false }, reserved: func(netip.Addr) bool { return false }, allowed: prefixes("0.0.0.0/0", "::/0"), denied: []netip.Prefix{netip.PrefixFrom(addr, 32)}}
		for _, form := range []string{"%s", "::ffff:%s", "64:ff9b::%s", "::ffff:0:%s", "64:ff9b:1::%s"} {
			if text := fmt.Sprintf(form, addr); p.permits(netip.MustParseAddr(text)) == nil {
				t.Errorf("%s is permitted", text)
			}
		}
	})
}

// An address is refused where it is connected to, however it came to be followed.
func TestNoRefusedAddressIsConnectedTo(t *testing.T) {
	var asked atomic.Int32
	h := server(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); atOnce(w, r) })
	counted := &counts{}
	tun, err := New(Config{Env: "dev", Listen: freeAddress(t), Denied: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Allowed: prefixes("0.0.0.0/0")}, quiet(t), counted)
	if err != nil {
		t.Fatal(err)
	}
	run(t, tun, &tunneltest.RecordingSink{})
	tun.Follow(h) // as a Node remembers it
	if err := tun.Do(t.Context(), h.Base, list); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "the refusal to be counted", func() bool { return counted.of("address_refused") == 1 })
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests reached it", n)
	}
	_, err = tun.cfg.dial(context.Background(), "tcp", h.Endpoint().String())
	if !errors.Is(err, errAddress) {
		t.Errorf("dial: %v", err)
	}
	tun.Unfollow(tunnel.BaseID{})
}
