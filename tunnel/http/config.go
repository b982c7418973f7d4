package httptunnel

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// Config are the settings of a Tunnel. Env is needed; the zero value of the others
// means their default.
type Config struct {
	// Listen is where heartbeats are received, "host:port". Default ":7777".
	Listen string
	// Env is the environment of all bases over HTTP: heartbeats carry none.
	Env string
	// Auth is what a heartbeat must prove of its sender. Default AuthPod.
	Auth Auth
	// Workloads are the places in which bases run, for AuthPod and AuthToken. Default
	// none, so that nobody may speak.
	Workloads Workloads
	// Quiet gives the workloads whose bases do not announce themselves, for AuthPod and
	// AuthToken: they are asked. It returns at once, and is called each second. Nil: nobody is
	// looked for.
	Quiet func() []Quiet
	// Refused is told of each heartbeat that is refused, but for what may pass in a moment:
	// the address of its connection, why in a word of few values, and why for people. It
	// returns at once, and is called as often as senders like. Default: nobody is told.
	Refused func(from netip.Addr, reason, why string)
	// MaxIdentities is how many bases one sender speaks for at a time: a workload, or an
	// address where that is all that is known. Default 8, and 4096 for AuthAnyone, since
	// many may share an address. With AuthCertificate each identity is a sender of its own.
	MaxIdentities int
	// NewIdentities is how many bases that it has not spoken for one sender may add each
	// second; 16 seconds' worth at once. Default 1, and 64 for AuthAnyone: those behind
	// one address all are new to a replica that has just started, and one that is
	// refused for long looks silent. With AuthCertificate each identity is a sender of its own.
	NewIdentities int
	// Limits gives both as they hold now, where they may change while it runs: it is asked at
	// each heartbeat, and must return at once. Nil: as configured.
	Limits func() (newIdentities, maxIdentities int)
	// Allowed are the only networks that bases may be in, loopback, link-local and this
	// host's own addresses included where they are in one. Empty: anywhere but there.
	Allowed []netip.Prefix
	// Denied are networks that bases are never in, such as the API server's address and
	// those of Services. It wins over Allowed, as does what no base ever has: addresses
	// of no host, and clouds' metadata services.
	Denied []netip.Prefix
	// Reserved reports an address that is no base's now, whatever Allowed says: another
	// replica's. It returns at once; nil for none.
	Reserved func(netip.Addr) bool
	// TokenFile holds a bearer token that heartbeats must carry, whatever Auth is. It is
	// read on each heartbeat. Empty: no token is required.
	TokenFile string
	// CertFile and KeyFile have heartbeats received over TLS, and ClientCAFile holds the
	// authorities whose client certificates are believed; PEM, read again when they
	// change. All are needed for AuthCertificate. NB: a base that is told an http://
	// endpoint cannot reach the listener then.
	CertFile, KeyFile, ClientCAFile string
	// MaxConnections and ConnectionsEach limit the connections to the listener, in all
	// and from one address; bases behind one NAT share theirs. Defaults 4096, and 64 for
	// AuthPod and AuthAddress, where each base has an address of its own, else 1024.
	MaxConnections, ConnectionsEach int
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
	c.Auth = cmp.Or(c.Auth, AuthPod)
	c.MaxIdentities = cmp.Or(c.MaxIdentities, map[Auth]int{AuthAnyone: 4096}[c.Auth], 8)
	c.NewIdentities = cmp.Or(c.NewIdentities, map[Auth]int{AuthAnyone: 64}[c.Auth], 1)
	if c.Workloads == nil {
		c.Workloads = nobody{}
	}
	if c.Refused == nil {
		c.Refused = func(netip.Addr, string, string) {}
	}
	c.MaxConnections = cmp.Or(c.MaxConnections, 4096)
	each := 1024
	if c.Auth == AuthPod || c.Auth == AuthAddress {
		each = 64
	}
	c.ConnectionsEach = cmp.Or(c.ConnectionsEach, min(each, c.MaxConnections))
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
		"HTTP_TUNNEL_TIMEOUT (%s) must be positive and HTTP_TUNNEL_INSTALL_TIMEOUT (%s) no shorter", c.Timeout, c.InstallTimeout)
	fault(c.PerBase < 1 || c.Total < c.PerBase,
		"HTTP requests in flight for a base (%d) must be positive and their total (%d) no less", c.PerBase, c.Total)
	fault(!slices.Contains(Auths(), c.Auth), "HTTP_TUNNEL_AUTH=%s must be one of %q", c.Auth, Auths())
	fault(c.Auth == AuthAddress && len(c.Allowed) == 0,
		"HTTP_TUNNEL_AUTH=address needs HTTP_TUNNEL_ALLOWED_CIDRS: the networks that bases are in")
	fault(c.MaxIdentities < 1 || c.NewIdentities < 1,
		"HTTP_TUNNEL_MAX_IDENTITIES (%d) and the new ones in a second (%d) must be positive", c.MaxIdentities, c.NewIdentities)
	fault(c.ConnectionsEach < 1 || c.MaxConnections < c.ConnectionsEach,
		"the connections from one address (%d) must be positive and HTTP_TUNNEL_MAX_CONNECTIONS (%d) no fewer", c.ConnectionsEach, c.MaxConnections)
	errs = append(errs, c.checkCertificates())
	if _, err := c.token(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c Config) checkCertificates() error {
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("HTTP_TUNNEL_CERT_PATH and HTTP_TUNNEL_KEY_PATH belong together: set both or none")
	case c.CertFile == "" && c.ClientCAFile != "":
		return errors.New("HTTP_TUNNEL_CLIENT_CA_PATH needs HTTP_TUNNEL_CERT_PATH and HTTP_TUNNEL_KEY_PATH: client certificates are shown over TLS only")
	case c.ClientCAFile == "" && c.Auth == AuthCertificate:
		return errors.New("HTTP_TUNNEL_AUTH=certificate needs HTTP_TUNNEL_CERT_PATH, HTTP_TUNNEL_KEY_PATH and HTTP_TUNNEL_CLIENT_CA_PATH")
	case c.CertFile == "":
		return nil
	}
	_, err := c.certificates(zap.NewNop()).current()
	return err
}

func (c Config) certificates(log *zap.Logger) *certificates {
	return &certificates{cert: c.CertFile, key: c.KeyFile, ca: c.ClientCAFile, log: log}
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
