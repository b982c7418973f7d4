package httptunnel

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

func TestConformance(t *testing.T) {
	tunneltest.RunConformance(t, func(t *testing.T, gate tunnel.Gate) tunneltest.Kit {
		address := freeAddress(t)
		tun, err := New(Config{
			Listen: address, Env: "default", Auth: AuthAnyone, Gate: gate, Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}, zaptest.NewLogger(t), tunnel.NoMeter)
		if err != nil {
			t.Fatal(err)
		}
		return tunneltest.Kit{
			Tunnel: tun, Switches: true,
			Play: func(ctx context.Context, bases []*basetest.Base) error {
				return (&basetest.HTTPFleet{Endpoint: "http://" + address, Bases: bases}).Run(ctx)
			},
		}
	})
}

// freeAddress finds a port that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
