package httptunnel

import (
	"context"
	"testing"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

func TestConformance(t *testing.T) {
	kit := func(t *testing.T, gate tunnel.Gate) tunneltest.Kit {
		t.Helper()
		address := freeAddress(t)
		tun, err := New(Config{
			Listen: address, Env: "default", Gate: gate, Allowed: prefixes("127.0.0.0/8"),
			Workloads: places{"127.0.0.1": {Name: "ns/all/1", Addresses: addresses("127.0.0.1", "10.1.2.3")}}, MaxIdentities: 1000, NewIdentities: 1000, // which all have
		}, zaptest.NewLogger(t), tunnel.NoMeter)
		if err != nil {
			t.Fatal(err)
		}
		return tunneltest.Kit{
			Tunnel: tun, Switches: true,
			Stack: tunneltest.Arklet(func(ctx context.Context, bases []*basetest.Base) error {
				return (&basetest.HTTPFleet{Endpoints: []string{"http://" + address}, Bases: bases}).Run(ctx)
			}),
		}
	}
	tunneltest.RunConformance(t, kit)
	tunneltest.RunArklet(t, kit)
}

// freeAddress finds a port that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := basetest.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return address
}
