package election

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"module-controller/shard"
	"module-controller/tunnel"
)

// Config are the settings of a Replica. Incarnation, Namespace, Envs, Name
// and Base are needed; the zero value of the others means their default.
type Config struct {
	// Incarnation is this life of this replica, "<pod>_<8 hex digits>", never used
	// before.
	Incarnation string
	// PodUID says that an earlier life of the same pod is over: its container was
	// started again. Empty: an earlier life is waited for like a stranger's.
	PodUID string
	// Namespace has the membership Leases.
	Namespace string
	// BaseNamespace has the Leases of bases. Default kube-node-lease.
	BaseNamespace string
	// Envs are the environments whose bases are owned. All members have the same.
	Envs []string
	// Name gives the name of a base's Lease, which is its Node's.
	Name func(tunnel.BaseID) (string, error)
	// Base gives the base of a Lease's name, the reverse of Name.
	Base func(name string) (tunnel.BaseID, bool)
	// Exists says whether a base has a Node. Default: it has none.
	Exists func(tunnel.BaseID) bool
	// Labels gives more labels for a base's Lease, written whenever it is. Default:
	// none.
	Labels func(tunnel.BaseID) map[string]string
	// Wall gives the time that is written into Leases. Nothing is decided by it.
	// Default: time.Now.
	Wall func() time.Time
	// Address is where this replica takes what members pass on; Version is shown.
	Address, Version string

	shard.Timing
	// MemberDuration is written into the membership Lease, MemberRenew is how often
	// it is renewed, MemberTimeout bounds one such request. Defaults 10 s, 1 s, 2 s.
	MemberDuration, MemberRenew, MemberTimeout time.Duration
	// Duration is written into a base's Lease. Default 40 s.
	Duration time.Duration
	// Drain bounds the handing over of all bases at the end. Default 25 s.
	Drain time.Duration
	// Workers is how many Leases of bases are written at a time. Default 16.
	Workers int
	// Grace is how long the cluster lets a Node be silent before it is NotReady;
	// 50 s from Kubernetes 1.32 on, 40 s before. Bases is the number of bases of one
	// replica for which failover must fit into it. Defaults 50 s, 500.
	Grace time.Duration
	Bases int
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.BaseNamespace = cmp.Or(c.BaseNamespace, "kube-node-lease")
	c.MemberDuration = cmp.Or(c.MemberDuration, 10*time.Second)
	c.MemberRenew = cmp.Or(c.MemberRenew, time.Second)
	c.MemberTimeout = cmp.Or(c.MemberTimeout, 2*time.Second)
	c.Patience = cmp.Or(c.Patience, c.MemberDuration+time.Second)
	c.Timing = c.Timing.Complete()
	c.Duration = cmp.Or(c.Duration, 40*time.Second)
	c.Drain = cmp.Or(c.Drain, 25*time.Second)
	c.Workers = cmp.Or(c.Workers, 16)
	c.Grace = cmp.Or(c.Grace, 50*time.Second)
	c.Bases = cmp.Or(c.Bases, 500)
	if c.Labels == nil {
		c.Labels = func(tunnel.BaseID) map[string]string { return nil }
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Exists == nil {
		c.Exists = func(tunnel.BaseID) bool { return false }
	}
	return c
}

// claimRate is how many Leases a second the survivors of a replica are expected to
// claim at least, together.
const claimRate = 100.0

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	errs := []error{c.Timing.Validate()}
	if _, ok := shard.PodOf(c.Incarnation); !ok {
		errs = append(errs, fmt.Errorf("incarnation %q is not <pod>_<8 hex digits>", c.Incarnation))
	}
	if c.Name == nil || c.Base == nil || c.Namespace == "" || len(c.Envs) == 0 {
		errs = append(errs, errors.New("a namespace, an environment and functions that name Leases are needed"))
	}
	if c.Renew <= 0 || c.Duration < time.Second || c.MemberDuration < time.Second || c.MemberRenew <= 0 || c.MemberTimeout <= 0 || c.Drain < 0 || c.Workers < 1 || c.Bases < 1 {
		errs = append(errs, fmt.Errorf("durations and counts must be positive, lease durations a second at least: renew %s, duration %s, member renew %s, member duration %s, drain %s, workers %d",
			c.Renew, c.Duration, c.MemberRenew, c.MemberDuration, c.Drain, c.Workers))
	}
	if c.Renew >= c.Duration {
		errs = append(errs, fmt.Errorf("lease renew interval (%s) must be shorter than the lease duration (%s)", c.Renew, c.Duration))
	}
	if c.MemberRenew >= c.Act {
		errs = append(errs, fmt.Errorf("member renew interval (%s) must be shorter than what one membership write permits (%s)", c.MemberRenew, c.Act))
	}
	if c.MemberRenew >= c.Hinted {
		errs = append(errs, fmt.Errorf("member renew interval (%s) must be shorter than the patience with a member that is said to be gone (%s)", c.MemberRenew, c.Hinted))
	}
	if c.Patience <= c.MemberDuration {
		errs = append(errs, fmt.Errorf("patience (%s) must be longer than the member lease duration (%s)", c.Patience, c.MemberDuration))
	}
	if left := c.Slack(c.Grace, c.Bases, claimRate); left < 0 {
		errs = append(errs, fmt.Errorf("nodes would turn NotReady in a failover: renew (%s) + patience (%s) + claiming %d bases + 5s is %s more than the node grace (%s)",
			c.Renew, c.Patience, c.Bases, -left, c.Grace))
	}
	return errors.Join(errs...)
}
