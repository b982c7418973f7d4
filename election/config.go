package election

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"module-controller/tunnel"
)

// Config are the settings of a Solo. Holder and Name are needed; the zero value of
// the others means their default.
type Config struct {
	// Holder is this life of this replica, "<pod>_<8 hex digits>".
	Holder string
	// Name gives the name of a base's Lease, which is its Node's.
	Name func(tunnel.BaseID) (string, error)
	// Namespace of the Leases. Default kube-node-lease.
	Namespace string
	// Duration is written into Leases, Renew is how often they are renewed.
	// Defaults 40 s, 20 s.
	Duration, Renew time.Duration
	// ForeignGrace is how much longer than its duration another controller's Lease
	// must stay unchanged before it is taken over. Default 10 s.
	ForeignGrace time.Duration
	// Workers is how many Leases are written at a time. Default 16.
	Workers int
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.Namespace = cmp.Or(c.Namespace, "kube-node-lease")
	c.Duration = cmp.Or(c.Duration, 40*time.Second)
	c.Renew = cmp.Or(c.Renew, 20*time.Second)
	c.ForeignGrace = cmp.Or(c.ForeignGrace, 10*time.Second)
	c.Workers = cmp.Or(c.Workers, 16)
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var errs []error
	if pod, life, ok := strings.Cut(c.Holder, "_"); !ok || pod == "" || len(life) != 8 {
		errs = append(errs, fmt.Errorf("holder %q is not <pod>_<8 hex digits>", c.Holder))
	}
	if c.Name == nil {
		errs = append(errs, errors.New("a function that names Leases is needed"))
	}
	if c.Renew <= 0 || c.Duration < time.Second || c.ForeignGrace < 0 || c.Workers < 0 {
		errs = append(errs, fmt.Errorf("renew (%s), duration (%s), foreign grace (%s) and workers (%d) must be positive, the duration a second at least",
			c.Renew, c.Duration, c.ForeignGrace, c.Workers))
	}
	if c.Renew >= c.Duration {
		errs = append(errs, fmt.Errorf("renew (%s) must be shorter than the lease duration (%s)", c.Renew, c.Duration))
	}
	return errors.Join(errs...)
}
