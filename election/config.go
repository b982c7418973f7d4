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
	// Incarnation is the id of this replica's session, "<pod>_<8 hex digits>", never
	// used before.
	Incarnation string
	// PodUID lets a restarted container take over the previous session of its pod
	// without waiting. Empty: a previous session is waited for like any other member.
	PodUID string
	// Namespace has the membership Leases.
	Namespace string
	// BaseNamespace has the Leases of bases. Default kube-node-lease.
	BaseNamespace string
	// Envs are the environments whose bases are owned. Members may have different ones:
	// each is given bases of its own alone.
	Envs []string
	// Name gives the name of a base's Lease, which is its Node's.
	Name func(tunnel.BaseID) (string, error)
	// Base gives the base of a Lease's name, the reverse of Name.
	Base func(name string) (tunnel.BaseID, bool)
	// Wall gives the time that is written into Leases. Nothing is decided by it.
	// Default: time.Now.
	Wall func() time.Time
	// Address is where this replica takes what members forward, and PeerKey the
	// fingerprint of the key that it proves itself with there; Version is shown.
	Address, PeerKey, Version string

	// Timing.Renew is, by default, the longest that lets a failover of Bases fit into Grace,
	// and three quarters of Duration at most. Timing.Detection is always worked out.
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

	formats formats // ours, but in tests
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.BaseNamespace = cmp.Or(c.BaseNamespace, "kube-node-lease")
	c.MemberDuration = cmp.Or(c.MemberDuration, 10*time.Second)
	c.MemberRenew = cmp.Or(c.MemberRenew, time.Second)
	c.MemberTimeout = cmp.Or(c.MemberTimeout, 2*time.Second)
	c.FailureTimeout = cmp.Or(c.FailureTimeout, c.MemberDuration+expiryMargin)
	c.Duration = cmp.Or(c.Duration, 40*time.Second)
	c.Drain = cmp.Or(c.Drain, 25*time.Second)
	c.Workers = cmp.Or(c.Workers, 16)
	c.Grace = cmp.Or(c.Grace, 50*time.Second)
	c.Bases = cmp.Or(c.Bases, 500)
	c.formats = cmp.Or(c.formats, ours)
	c.Detection = c.detection()
	c.Renew = cmp.Or(c.Renew, c.longestRenew())
	c.Timing = c.Timing.Complete()
	if c.Wall == nil {
		c.Wall = time.Now
	}
	return c
}

// expiryMargin is how much longer than its duration a membership Lease stays unchanged
// before its member is expired.
const expiryMargin = time.Second

func (c Config) detection() time.Duration {
	return shard.DetectionWithin(c.Grace, c.Bases, claimRate)
}

// longestRenew is how seldom bases' Leases may be renewed, shard.MinRenew at least. Who
// reads a Lease expects another renewal within its duration: a quarter of it is left for
// one that is late.
func (c Config) longestRenew() time.Duration {
	return max(shard.MinRenew, min(c.detection()-c.FailureTimeout, c.mostRenew()))
}

func (c Config) mostRenew() time.Duration { return c.Duration * 3 / 4 }

// slack is how much of a Node's grace is to spare in a failover. Below zero Nodes turn
// NotReady in it.
func (c Config) slack() time.Duration { return c.detection() - c.FailureTimeout - c.Renew }

// boundBy names what keeps bases' Leases from being renewed less often.
func (c Config) boundBy() string {
	switch {
	case c.Renew != c.longestRenew():
		return "LEASE_RENEW_INTERVAL"
	case c.Renew == c.mostRenew():
		return "LEASE_DURATION"
	}
	return "NODE_MONITOR_GRACE"
}

// claimRate is how many Leases a second the survivors of a replica are expected to
// claim at least, together.
const claimRate = 100.0

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	errs := []error{c.Timing.Validate()}
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, ok := shard.PodOf(c.Incarnation); !ok {
		add("incarnation %q is not <pod>_<8 hex digits>", c.Incarnation)
	}
	if !c.named() {
		add("a namespace, an environment and functions that name Leases are needed")
	}
	if min(c.Renew, c.MemberRenew, c.MemberTimeout) <= 0 || c.Drain < 0 || min(c.Duration, c.MemberDuration) < time.Second || min(c.Workers, c.Bases) < 1 {
		add("durations and counts must be positive, those of Leases a second at least: LEASE_RENEW_INTERVAL %s, LEASE_DURATION %s, MEMBER_RENEW_INTERVAL %s, MEMBER_LEASE_DURATION %s, DRAIN_TIMEOUT %s, LEASE_WORKERS %d",
			c.Renew, c.Duration, c.MemberRenew, c.MemberDuration, c.Drain, c.Workers)
	}
	if c.Renew >= c.Duration {
		add("LEASE_RENEW_INTERVAL (%s) must be shorter than LEASE_DURATION (%s)", c.Renew, c.Duration)
	}
	if c.MemberRenew >= c.RenewDeadline {
		add("MEMBER_RENEW_INTERVAL (%s) must be shorter than RENEW_DEADLINE (%s)", c.MemberRenew, c.RenewDeadline)
	}
	if c.MemberRenew >= c.SuspicionTimeout {
		add("MEMBER_RENEW_INTERVAL (%s) must be shorter than the suspicion timeout (%s)", c.MemberRenew, c.SuspicionTimeout)
	}
	if c.FailureTimeout <= c.MemberDuration {
		add("the failure timeout (%s) must be longer than MEMBER_LEASE_DURATION (%s)", c.FailureTimeout, c.MemberDuration)
	}
	if left := c.slack(); left < 0 {
		add("nodes would turn NotReady in a failover: LEASE_RENEW_INTERVAL (%s) + a second more than MEMBER_LEASE_DURATION (%s) + claiming %d bases (BASES_PER_REPLICA) + 5s is %s more than NODE_MONITOR_GRACE (%s); %s",
			c.Renew, c.FailureTimeout, c.Bases, -left, c.Grace, c.instead())
	}
	return errors.Join(errs...)
}

// instead says what would fit where a failover does not.
func (c Config) instead() string {
	if longest := c.detection() - c.FailureTimeout; longest >= shard.MinRenew {
		return fmt.Sprintf("an interval of %s fits", longest)
	}
	return fmt.Sprintf("no interval of %s or more fits: expect fewer bases, or shorten MEMBER_LEASE_DURATION", shard.MinRenew)
}

// named says whether Leases can be named.
func (c Config) named() bool {
	switch {
	case c.Name == nil, c.Base == nil, c.Namespace == "", len(c.Envs) == 0:
		return false
	}
	return true
}

// identity is who this replica is among others.
func (c Config) identity() shard.Identity {
	return shard.Identity{Incarnation: c.Incarnation, Installation: c.Namespace, EnvOf: c.envOf}
}

// envOf gives the environment of a base's Lease's name.
func (c Config) envOf(key string) string {
	id, _ := c.Base(key)
	return id.Env
}

// memberRetry is how soon a membership write that failed is tried again.
func (c Config) memberRetry() time.Duration { return c.MemberRenew / 4 }
