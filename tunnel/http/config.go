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
	// Listen is where heartbeats are taken, "host:port". Default ":7777".
	Listen string
	// Env is the environment of all bases heard over HTTP: heartbeats carry none.
	Env string
	// Allowed are the addresses that bases may have although they are refused by
	// default: loopback, link-local and this host's own.
	Allowed []netip.Prefix
	// Denied are addresses that bases never have, such as the API server's.
	Denied []netip.Addr
	// TokenFile holds a bearer token that heartbeats must carry. Read at each
	// heartbeat. Empty: none is asked for.
	TokenFile string
	// Timeout bounds a request; InstallTimeout is how long an install may take
	// before it is no longer asked about. Defaults 10 s, 10 min.
	Timeout, InstallTimeout time.Duration
	// Gate says whether bytes may leave for bases. Default: always.
	Gate tunnel.Gate
	// Peers are the other replicas; nil for none.
	Peers Peers
	// PerBase and Total bound the requests under way. Defaults 8, 512.
	PerBase, Total int
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.Listen = cmp.Or(c.Listen, ":7777")
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
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("HTTP tunnel address %q must be host:port: %w", c.Listen, err))
	}
	if c.Env == "" {
		errs = append(errs, errors.New("the HTTP tunnel needs an environment: set ENV"))
	}
	if c.Timeout <= 0 || c.InstallTimeout < c.Timeout {
		errs = append(errs, fmt.Errorf("HTTP timeout (%s) must be positive and the install timeout (%s) no shorter", c.Timeout, c.InstallTimeout))
	}
	if c.PerBase < 1 || c.Total < c.PerBase {
		errs = append(errs, fmt.Errorf("HTTP requests a base (%d) must be positive and their total (%d) no less", c.PerBase, c.Total))
	}
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

// permits says whether a base may have an address, and if not, why.
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

// ownAddress says whether an address is one of this host's.
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
