package httptunnel

import (
	"context"
	"slices"
	"testing"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// The suite runs with three replicas that know each other's keys, behind what spreads
// heartbeats over them. The bases prove who they are by their Pod.
func TestConformance(t *testing.T) {
	kit := func(t *testing.T, team *tunneltest.Team) tunneltest.Kit {
		t.Helper()
		kit := tunneltest.Kit{Switches: true, PassesOn: true}
		addresses := freeAddresses(t, 2*tunneltest.Replicas)
		endpoints, peers := addresses[:tunneltest.Replicas], addresses[tunneltest.Replicas:]
		var all []Peer
		var keys []*Key
		for _, address := range peers {
			key := newKey(t)
			keys, all = append(keys, key), append(all, Peer{Address: address, Fingerprint: key.Fingerprint})
		}
		for n, address := range endpoints {
			tun, err := New(Config{
				Listen: address, Env: "default", Gate: team.Gate(n), Allowed: prefixes("127.0.0.0/8"),
				Peers: member{team, n, all}, ListenPeers: peers[n], Key: keys[n],
				Workloads: pods(), MaxIdentities: 1000, NewIdentities: 1000, // which all have
			}, zaptest.NewLogger(t), tunnel.NoMeter)
			if err != nil {
				t.Fatal(err)
			}
			kit.Tunnels[n] = tun
			endpoints[n] = "http://" + address
		}
		kit.Stack = tunneltest.Arklet(func(ctx context.Context, bases, strangers []*basetest.Base) error {
			return (&basetest.HTTPFleet{Endpoints: endpoints, Bases: slices.Concat(bases, strangers)}).Run(ctx)
		})
		return kit
	}
	tunneltest.RunConformance(t, kit)
	tunneltest.RunArklet(t, kit)
}

// pods has the Pod of all bases of the suite; strangers have none.
func pods() places {
	return places{"127.0.0.1": {Name: "ns/all/1", Addresses: addresses("127.0.0.1", "10.1.2.3")}}
}

// member is Peers as one of a team sees them.
type member struct {
	team   *tunneltest.Team
	number int
	all    []Peer // itself included, by number
}

func (m member) Owner(b tunnel.BaseID) Peer {
	if n, ok := m.team.Owner(b); ok && n != m.number {
		return m.all[n]
	}
	return Peer{}
}

func (m member) Owns(b tunnel.BaseID) bool { return m.Owner(b) != Peer{} }

func (m member) Refused(tunnel.BaseID) {}

func (m member) Member(fingerprint string) bool {
	n := slices.IndexFunc(m.all, func(p Peer) bool { return p.Fingerprint == fingerprint })
	return n >= 0 && n != m.number
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

// freeAddresses finds several, each another one.
func freeAddresses(t testing.TB, n int) (all []string) {
	t.Helper()
	for len(all) < n {
		if a := freeAddress(t); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
