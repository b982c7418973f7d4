package httptunnel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// The suite runs with three replicas that know each other's keys, behind what spreads
// heartbeats over them. Each base has a Pod of its own, with an address of its own, and proves
// who it is by that, or by the Pod's token.
func TestConformance(t *testing.T) {
	for _, auth := range []Auth{AuthPod, AuthToken} {
		t.Run(string(auth), func(t *testing.T) { conforms(t, auth) })
	}
}

func conforms(t *testing.T, auth Auth) {
	t.Helper()
	kit := func(t *testing.T, team *tunneltest.Team) tunneltest.Kit {
		t.Helper()
		kit, pods := tunneltest.Kit{Switches: true, PassesOn: true}, &pods{}
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
				Auth: auth, Workloads: pods,
			}, zaptest.NewLogger(t), tunnel.NoMeter)
			if err != nil {
				t.Fatal(err)
			}
			kit.Tunnels[n] = tun
			endpoints[n] = "http://" + address
		}
		home := func(identity string) (tunneltest.Home, error) {
			home := pods.home(identity)
			if auth != AuthToken {
				home.Token = ""
			}
			return home, nil
		}
		kit.Stack = tunneltest.Arklet(home, func(ctx context.Context, bases, strangers []*basetest.Base) error {
			return (&basetest.HTTPFleet{Endpoints: endpoints, Bases: slices.Concat(bases, strangers)}).Run(ctx)
		})
		return kit
	}
	tunneltest.RunConformance(t, kit)
	tunneltest.RunArklet(t, kit)
}

// pods are the Pods of the bases of the suite, one each, which declares its base's identity;
// strangers have none.
type pods struct {
	mu  sync.Mutex
	all places // by address and by token; mu guards it
}

// home gives the Pod of a base, which it makes if need be: its address and its token.
func (p *pods) home(identity string) tunneltest.Home {
	p.mu.Lock()
	defer p.mu.Unlock()
	token := "the token of " + identity
	w, is := p.all[token]
	if !is {
		ip := fmt.Sprint("127.1.0.", 1+len(p.all)/2)
		w = Workload{Name: "ns/" + ip + "/1", Addresses: addresses(ip), Identity: identity}
		if literal, err := netip.ParseAddr(identity); err == nil { // it has this one beside
			w.Addresses = append(w.Addresses, literal)
		}
		if p.all == nil {
			p.all = places{}
		}
		p.all[ip], p.all[token] = w, w
	}
	return tunneltest.Home{IP: w.Addresses[0].String(), Token: token}
}

func (p *pods) At(a netip.Addr) (Workload, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.At(a)
}

func (p *pods) OfToken(ctx context.Context, token string) (Workload, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.OfToken(ctx, token)
}

func (p *pods) Declaring(identity string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.Declaring(identity)
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
