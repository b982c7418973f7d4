package lifecycle

import "module-controller/tunnel"

// Incumbent is whom a base is followed as. A heartbeat that differs from it in any of this
// is a contender's: somebody else's word, until the incumbent is known to be gone. Version
// and host name are no part of it, but for a host name on shared topics: it is what tells
// two hosts apart there.
type Incumbent struct {
	Tunnel        string          // empty: nothing is known, and whoever speaks is the incumbent
	Sender        tunnel.Sender   // what was proved of it; zero while nothing is
	Endpoint      tunnel.Endpoint // its IP is empty while it is not known
	Hostname      string          // on shared topics; empty while it is not known
	Name, Cluster string
}

func incumbentOf(h tunnel.Heartbeat) Incumbent {
	i := Incumbent{Tunnel: h.Tunnel, Sender: h.Sender, Endpoint: h.Endpoint(), Name: h.Name, Cluster: h.Cluster}
	if !dialed(h) {
		i.Hostname = h.Hostname
	}
	return i
}

// dialed says whether a base is reached at its endpoint, and not on topics that all bases
// of its identity share.
func dialed(h tunnel.Heartbeat) bool { return h.Port != 0 }

// Is says whether a heartbeat is the incumbent's. One of which nothing was proved is bound
// by the first heartbeat from the very place, with the very name, that it has. On topics the
// host name is the place: the address on a Node that another controller wrote may be that of
// a proxy before all its Nodes, and whoever may speak there is the base.
func (i Incumbent) Is(h tunnel.Heartbeat) bool {
	if i.Tunnel == "" {
		return true
	}
	other := incumbentOf(h)
	if i.Sender == (tunnel.Sender{}) {
		other.Sender = i.Sender
		if i.Hostname != "" {
			i.Endpoint.IP = other.Endpoint.IP
		}
	}
	if i.Hostname == "" {
		other.Hostname = ""
	}
	if i.Endpoint.IP == "" {
		i.Endpoint = other.Endpoint
	}
	return i == other
}

// application is what tells two applications at one address apart.
func application(h tunnel.Heartbeat) [2]string { return [2]string{h.Name, h.Cluster} }

func (i Incumbent) application() [2]string { return [2]string{i.Name, i.Cluster} }

// rank orders contenders: what is proved counts more than what is not, then the same
// application more than another, because it harms no pod.
func (i Incumbent) rank(h tunnel.Heartbeat) int {
	rank := 0
	if h.Sender.Bound {
		rank += 2
	}
	if application(h) == i.application() {
		rank++
	}
	return rank
}

// shares says whether a contender is reached on the topics that the incumbent is reached
// on: both get each command then.
func (i Incumbent) shares(h tunnel.Heartbeat) bool {
	return i.Tunnel == h.Tunnel && i.Endpoint.Port == 0 && !dialed(h)
}

// reaches says whether what is sent to the incumbent reaches a contender: on topics that
// they share, or at the incumbent's own endpoint, if no less is proved of who says that it
// is there now.
func (i Incumbent) reaches(h tunnel.Heartbeat) bool {
	switch {
	case i.shares(h):
		return true
	case i.Tunnel != h.Tunnel, i.Endpoint != h.Endpoint(), i.Sender.Bound && !h.Sender.Bound:
		return false
	}
	return dialed(h)
}

// Incumbent is whom the base is followed as now. The mailbox must be told when it changed.
func (b *Base) Incumbent() Incumbent { return incumbentOf(b.about.heartbeat) }

// Workload is the workload that the base is bound to; empty where none was proved.
func (b *Base) Workload() string { return b.about.heartbeat.Sender.Workload }
