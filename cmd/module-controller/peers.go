package main

import (
	"module-controller/election"
	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
)

// peers implements the HTTP tunnel's Peers: members know each other by their membership
// Leases, which tell where each is and the fingerprint of its session's key.
type peers struct{ owner *election.Replica }

// Owner implements httptunnel.Peers. A member that tells no key takes no heartbeats: it
// is of a version that had none.
func (p peers) Owner(b tunnel.BaseID) httptunnel.Peer {
	m, ours, ok := p.owner.ForwardTo(b)
	switch {
	case !ok, ours, m.Address == "", m.PeerKey == "":
		return httptunnel.Peer{}
	}
	return httptunnel.Peer{Address: m.Address, Fingerprint: m.PeerKey}
}

// Owns implements httptunnel.Peers.
func (p peers) Owns(b tunnel.BaseID) bool { return p.owner.Elsewhere(b) }

// Refused implements httptunnel.Peers: it is a hint that the member is gone.
func (p peers) Refused(b tunnel.BaseID) {
	if m, ours, ok := p.owner.ForwardTo(b); ok && !ours {
		p.owner.Suspect(m.Holder)
	}
}

// Member implements httptunnel.Peers.
func (p peers) Member(fingerprint string) bool { return p.owner.KnowsKey(fingerprint) }
