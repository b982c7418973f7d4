package shard

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Timing are the durations of the rules. Zero values mean the defaults.
type Timing struct {
	// RenewDeadline is how long one successful membership write lets a replica act, from the
	// moment the write was sent. Default 3.5 s.
	RenewDeadline time.Duration
	// FailureTimeout is how long a member's Lease must stay unchanged before the member
	// is expired. Default 11 s, a second more than the Lease's duration. It is longer than
	// RenewDeadline is by the slowest clock.
	FailureTimeout time.Duration
	// SuspicionTimeout is FailureTimeout for a member that is suspected. Default 2.5 s.
	SuspicionTimeout time.Duration
	// Renew is how often a base's Lease is renewed. Default 20 s; package election chooses
	// it by Detection.
	Renew time.Duration
	// Detection is how long after its last renewal of a base's Lease the failure of the
	// owner is to be known: with a member that takes longer to know it, Leases are renewed
	// more often than Renew says. Zero: whatever they take, Renew holds.
	Detection time.Duration
	// Missing is how long the Lease of a base that has a Node must be missing
	// before it is made anew by somebody who did not hold it. Default 30 s.
	Missing time.Duration
	// ForeignGrace is how much longer than its duration another controller's Lease
	// must stay unchanged before it is taken. Default 10 s.
	ForeignGrace time.Duration
	// Settle is how long the set of members must be unchanged before bases are
	// moved from one live member to another. Default 10 s.
	Settle time.Duration
	// ColdStart bounds how long a replica that has just joined waits for peers that
	// its predecessors had. Default 5 s.
	ColdStart time.Duration
	// Handover bounds how long a base that is to be handed over may take to finish
	// what is in flight on it. Default 5 s.
	Handover time.Duration
	// Pace is the pause between two moves from one live member to another. It does
	// not hold back a drain. Default 20 ms.
	Pace time.Duration
}

// drift is by how much of a time two clocks may differ after it, each of them a percent
// fast or slow: 1 part of that many.
const drift = 50

// byAnyClock is how long a time of somebody else takes by our clock at most.
func byAnyClock(d time.Duration) time.Duration { return d + d/drift }

// Complete fills in the defaults.
func (t Timing) Complete() Timing {
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{
		{&t.RenewDeadline, 3500 * time.Millisecond}, {&t.FailureTimeout, 11 * time.Second}, {&t.SuspicionTimeout, 2500 * time.Millisecond},
		{&t.Renew, 20 * time.Second}, {&t.ForeignGrace, 10 * time.Second}, {&t.Settle, 10 * time.Second},
		{&t.ColdStart, 5 * time.Second}, {&t.Handover, 5 * time.Second}, {&t.Pace, 20 * time.Millisecond},
	} {
		*d.at = cmp.Or(*d.at, d.def)
	}
	t.Missing = cmp.Or(t.Missing, t.Renew+10*time.Second)
	return t
}

// Validate reports every fault of completed durations at once.
func (t Timing) Validate() error {
	var errs []error
	for _, d := range []time.Duration{t.RenewDeadline, t.FailureTimeout, t.SuspicionTimeout, t.Renew, t.Missing, t.ForeignGrace, t.Settle, t.ColdStart, t.Handover, t.Pace} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("a duration is negative: %s", d))
		}
	}
	if t.FailureTimeout <= byAnyClock(t.RenewDeadline) {
		errs = append(errs, fmt.Errorf("the failure timeout (%s), a second more than MEMBER_LEASE_DURATION, must be longer than RENEW_DEADLINE (%s) and a fiftieth of it, by which clocks may differ", t.FailureTimeout, t.RenewDeadline))
	}
	return errors.Join(errs...)
}

// MinRenew is how often a base's Lease is renewed at most because of what a failover takes.
const MinRenew = 2 * time.Second

// reserve is kept free of each failover: for requests that are slow, watches that lag, and
// renewals that are late.
const reserve = 5 * time.Second

// DetectionWithin is how long after its last renewal of a base's Lease the failure of an
// owner is to be known, for no Node of its bases to be silent for longer than a grace when
// others have claimed them at a rate of claims a second. Below zero, no failover fits.
func DetectionWithin(grace time.Duration, bases int, rate float64) time.Duration {
	claiming := time.Duration(float64(bases) / rate * float64(time.Second))
	return grace - claiming - reserve
}
