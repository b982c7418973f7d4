package tunnel

import (
	"net"
	"strconv"
)

// About is what a base says of itself, whichever tunnel it says it through. Compare
// and copy it as a whole: a list of fields that forgets one leaves a change unnoticed.
type About struct{ Name, Version, Cluster, IP, Hostname string }

// About gives what the base says of itself.
func (h Heartbeat) About() About {
	return About{Name: h.Name, Version: h.Version, Cluster: h.Cluster, IP: h.IP, Hostname: h.Hostname}
}

// WithAbout gives a heartbeat that says a of the base. Tunnel, port and times stay: how
// the base is reached belongs to the tunnel that reaches it.
func (h Heartbeat) WithAbout(a About) Heartbeat {
	h.Name, h.Version, h.Cluster, h.IP, h.Hostname = a.Name, a.Version, a.Cluster, a.IP, a.Hostname
	return h
}

// Endpoint is where a base takes commands. Follow must be called again when it changes.
type Endpoint struct {
	// IP is a valid address or empty.
	IP string
	// Port is 0 over MQTT.
	Port int
}

// Endpoint gives where the base takes commands.
func (h Heartbeat) Endpoint() Endpoint { return Endpoint{IP: h.IP, Port: h.Port} }

// Dialable says whether both address and port are known.
func (e Endpoint) Dialable() bool { return e.IP != "" && e.Port != 0 }

// String gives "ip:port", an IPv6 address in brackets.
func (e Endpoint) String() string { return net.JoinHostPort(e.IP, strconv.Itoa(e.Port)) }
