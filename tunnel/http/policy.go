package httptunnel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// policy tells which addresses bases may have. It is asked for what a heartbeat says, and
// again for each address that is connected to: one that a Node remembers came by no
// heartbeat.
type policy struct {
	// allowed are the only networks that bases may be in, where there is any.
	allowed []netip.Prefix
	// denied wins over allowed.
	denied []netip.Prefix
	// reserved reports an address that is no base's now; own one of this host's.
	reserved, own func(netip.Addr) bool
}

// errAddress: no base may have that address. It is returned wrapped.
var errAddress = errors.New("address refused")

func newPolicy(c Config) policy {
	p := policy{allowed: unmapped(c.Allowed), denied: unmapped(c.Denied), reserved: c.Reserved, own: ownAddress}
	if p.reserved == nil {
		p.reserved = func(netip.Addr) bool { return false }
	}
	return p
}

// unmapped writes networks of IPv4 in IPv6 form as what they are, since addresses are
// compared in that form.
func unmapped(networks []netip.Prefix) []netip.Prefix {
	networks = slices.Clone(networks)
	for i, p := range networks {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			networks[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return networks
}

// permits gives nil if a base may have an address, else an errAddress that says why not.
// What is never permitted stands first: no network of allowed, 0.0.0.0/0 included, opens
// it.
func (p policy) permits(addr netip.Addr) error {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return fmt.Errorf("%w: %q is no IP address without a zone", errAddress, addr)
	}
	inner := embedded(addr)
	for _, a := range append(inner, addr) {
		if why := p.never(a); why != "" {
			return fmt.Errorf("%w: %s is %s", errAddress, addr, why)
		}
	}
	switch {
	case slices.ContainsFunc(inner, p.local):
		return fmt.Errorf("%w: %s is another form of an address of this host's or link", errAddress, addr)
	case within(p.allowed, addr):
		return nil
	case len(p.allowed) > 0:
		return fmt.Errorf("%w: %s is in no network of HTTP_TUNNEL_ALLOWED_CIDRS: add its network there if bases are in it", errAddress, addr)
	case len(inner) > 0:
		return fmt.Errorf("%w: %s is an IPv4 address in another form: a base tells its own address", errAddress, addr)
	case p.local(addr):
		return fmt.Errorf("%w: %s is loopback, link-local or this host's own: allow it in HTTP_TUNNEL_ALLOWED_CIDRS if it is meant", errAddress, addr)
	}
	return nil
}

// control is a net.Dialer's: it sees the very address that is connected to.
func (p policy) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errAddress, err)
	}
	return p.permits(to.Addr())
}

// Control is for a net.Dialer that connects to bases: it refuses the addresses that the
// tunnel refuses.
func (c Config) Control() func(network, address string, _ syscall.RawConn) error {
	return newPolicy(c).control
}

// never tells what an address is that no base ever has; empty for any other.
func (p policy) never(a netip.Addr) string {
	switch {
	case within(p.denied, a):
		return "denied: it is the API server's, a Service's, or in HTTP_TUNNEL_DENIED_CIDRS"
	case p.reserved(a):
		return "a replica's of this program"
	case within(noHosts, a):
		return "no host's"
	case within(metadata, a):
		return "a metadata service's"
	}
	return ""
}

// local reports whether an address leads to this host or its link.
func (p policy) local(a netip.Addr) bool {
	return a.IsLoopback() || a.IsLinkLocalUnicast() || p.own(a)
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

var (
	// noHosts are "this network", multicast, and what is reserved, broadcast included.
	noHosts = prefixes("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8")
	// metadata are where clouds tell a machine its secrets, as their manuals say.
	metadata = prefixes(
		"169.254.169.254/32", "fe80::a9fe:a9fe/128", // AWS, Azure, Google, OpenStack and most others
		"169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::23/128", // AWS: credentials of ECS tasks and EKS Pods
		"fd00:ec2::254/128",     // AWS over IPv6
		"fd20:ce::254/128",      // Google over IPv6
		"168.63.129.16/32",      // Azure: the agent's own
		"100.100.100.200/32",    // Alibaba Cloud
		"169.254.0.23/32",       // Tencent Cloud
		"192.0.0.192/32",        // Oracle Cloud
		"169.254.42.42/32",      // Scaleway
		"fd00:42::42/128",       // Scaleway over IPv6
		"fd00:a9fe:a9fe::1/128", // Akamai (Linode) over IPv6
	)
)

// forms are the ways in which IPv4 addresses are written in IPv6 ones: where such a packet
// ends up is decided by what is embedded. at are the offsets of its four bytes.
var forms = []struct {
	network netip.Prefix
	at      [][4]int
	flipped bool // all its bits
}{
	{netip.MustParsePrefix("::/96"), [][4]int{{12, 13, 14, 15}}, false},                         // IPv4-compatible, RFC 4291
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [][4]int{{12, 13, 14, 15}}, false},               // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("64:ff9b::/96"), [][4]int{{12, 13, 14, 15}}, false},                  // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), [][4]int{{6, 7, 9, 10}, {12, 13, 14, 15}}, false}, // NAT64, RFC 8215, /48 and /96 in it
	{netip.MustParsePrefix("2002::/16"), [][4]int{{2, 3, 4, 5}}, false},                         // 6to4, RFC 3056
	{netip.MustParsePrefix("2001::/32"), [][4]int{{4, 5, 6, 7}}, false},                         // Teredo's server, RFC 4380
	{netip.MustParsePrefix("2001::/32"), [][4]int{{12, 13, 14, 15}}, true},                      // Teredo's client
}

// embedded gives the IPv4 addresses in an IPv6 one.
func embedded(addr netip.Addr) (inner []netip.Addr) {
	if !addr.Is6() || addr.IsLoopback() || addr.IsUnspecified() { // which look IPv4-compatible
		return nil
	}
	bytes := addr.As16()
	for _, f := range forms {
		if !f.network.Contains(addr) {
			continue
		}
		for _, at := range f.at {
			var v4 [4]byte
			for i, offset := range at {
				v4[i] = bytes[offset]
				if f.flipped {
					v4[i] = ^v4[i]
				}
			}
			inner = append(inner, netip.AddrFrom4(v4))
		}
	}
	return inner
}

// ownAddress reports whether an address is one of this host's.
func ownAddress(addr netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}
