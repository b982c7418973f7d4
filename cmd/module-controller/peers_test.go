package main

import (
	"testing"

	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
)

// A session tells its members the fingerprint of its own key, which no other session
// has, and knows nobody before it saw members.
func TestASessionHasAKeyOfItsOwn(t *testing.T) {
	a := newAPIServer(t)
	one, other := sessionOf(t, configFor(t, a, nil)), sessionOf(t, configFor(t, a, nil))
	if one.key.Fingerprint == "" || one.key.Fingerprint == other.key.Fingerprint {
		t.Errorf("fingerprints %q and %q", one.key.Fingerprint, other.key.Fingerprint)
	}
	p := peers{one.owner}
	for _, fingerprint := range []string{"", one.key.Fingerprint, other.key.Fingerprint} {
		if p.Member(fingerprint) {
			t.Errorf("%q is a member's before there are any", fingerprint)
		}
	}
	if to := p.Owner(tunnel.BaseID{Env: "default", Identity: "b"}); to != (httptunnel.Peer{}) {
		t.Errorf("heartbeats of a base that nobody owns go to %+v", to)
	}
}
