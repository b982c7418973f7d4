package tunnel

import (
	"net"
	"strconv"
)

// About is a base's description of itself. It does not depend on the tunnel. Compare
// and copy it as a whole: code that lists the fields misses the next one.
type About struct{ Name, Version, Cluster, IP, Hostname string }

// About gives the base's description of itself.
func (h Heartbeat) About() About {
	return About{Name: h.Name, Version: h.Version, Cluster: h.Cluster, IP: h.IP, Hostname: h.Hostname}
}

// WithAbout gives h with another description. Tunnel, port and times stay: the port
// belongs to the tunnel that reaches the base.
func (h Heartbeat) WithAbout(a About) Heartbeat {
	h.Name, h.Version, h.Cluster, h.IP, h.Hostname = a.Name, a.Version, a.Cluster, a.IP, a.Hostname
	return h
}

// Endpoint is where a base accepts commands. Call Follow again when it changes.
type Endpoint struct {
	// IP is a valid address or empty.
	IP string
	// Port is 0 over MQTT.
	Port int
}

// Endpoint gives where the base accepts commands.
func (h Heartbeat) Endpoint() Endpoint { return Endpoint{IP: h.IP, Port: h.Port} }

// Dialable reports whether both address and port are known.
func (e Endpoint) Dialable() bool { return e.IP != "" && e.Port != 0 }

// String gives "ip:port", an IPv6 address in brackets.
func (e Endpoint) String() string { return net.JoinHostPort(e.IP, strconv.Itoa(e.Port)) }
