package httptunnel

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"module-controller/tunnel"
)

// Config are the settings of a Tunnel. Env is needed; the zero value of the others
// means their default.
type Config struct {
	// Listen is where heartbeats are received, "host:port". Default ":7777".
	Listen string
	// Env is the environment of all bases over HTTP: heartbeats carry none.
	Env string
	// Allowed are ranges of addresses that bases may have although they are refused by
	// default: loopback, link-local and this host's own.
	Allowed []netip.Prefix
	// Denied are addresses that bases never have, such as the API server's.
	Denied []netip.Addr
	// TokenFile holds a bearer token that heartbeats must carry. It is read on each
	// heartbeat. Empty: no token is required.
	TokenFile string
	// Timeout limits a request; InstallTimeout is how long an asynchronous install is
	// polled. Defaults 10 s, 10 min.
	Timeout, InstallTimeout time.Duration
	// Gate tells whether bytes may leave for bases. Default tunnel.Open.
	Gate tunnel.Gate
	// Peers are the other replicas; nil for none. They forward heartbeats to ListenPeers
	// (default ":7778"), where each proves its Key; Key is this session's.
	Peers       Peers
	ListenPeers string
	Key         *Key
	// PerBase and Total limit the requests in flight. Defaults 8, 512.
	PerBase, Total int
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.Listen = cmp.Or(c.Listen, ":7777")
	c.ListenPeers = cmp.Or(c.ListenPeers, ":7778")
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.InstallTimeout = cmp.Or(c.InstallTimeout, 10*time.Minute)
	c.PerBase = cmp.Or(c.PerBase, 8)
	c.Total = cmp.Or(c.Total, 512)
	if c.Gate == nil {
		c.Gate = tunnel.Open
	}
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, _, err := net.SplitHostPort(c.Listen)
	fault(err != nil, "HTTP tunnel address %q must be host:port: %w", c.Listen, err)
	_, _, err = net.SplitHostPort(c.ListenPeers)
	fault(err != nil, "HTTP tunnel address %q for peers must be host:port: %w", c.ListenPeers, err)
	fault(c.Peers != nil && c.Key == nil, "peers need a key")
	fault(c.Env == "", "the HTTP tunnel needs an environment: set ENV")
	fault(c.Timeout <= 0 || c.InstallTimeout < c.Timeout,
		"HTTP timeout (%s) must be positive and the install timeout (%s) no shorter", c.Timeout, c.InstallTimeout)
	fault(c.PerBase < 1 || c.Total < c.PerBase,
		"HTTP requests in flight for a base (%d) must be positive and their total (%d) no less", c.PerBase, c.Total)
	if _, err := c.token(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read heartbeat token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("read heartbeat token: %s is empty", c.TokenFile)
	}
	return token, nil
}

// permits gives nil if a base may have an address, else why not.
func (c Config) permits(ip string, own func(netip.Addr) bool) error {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return errors.New("it has no IP address")
	}
	addr = addr.Unmap()
	for _, d := range c.Denied {
		if d.Unmap() == addr {
			return fmt.Errorf("address %s is denied", addr)
		}
	}
	for _, p := range c.Allowed {
		if p.Contains(addr) {
			return nil
		}
	}
	switch {
	case addr.IsUnspecified(), addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("address %s is no host's", addr)
	case addr.IsLoopback(), addr.IsLinkLocalUnicast(), own(addr):
		return fmt.Errorf("address %s is loopback, link-local or this host's own; allow it in HTTP_TUNNEL_ALLOWED_CIDRS if it is meant", addr)
	}
	return nil
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
