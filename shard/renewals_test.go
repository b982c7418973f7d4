package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// renewing is mc-0 with many bases of which each is written when it is due.
type renewing struct {
	*State
	now     time.Time
	rev     uint64
	written map[string]time.Time
	longest time.Duration // between two writes of a base
}

func (r *renewing) write(key string, kind Kind) {
	if was := r.written[key]; !was.IsZero() {
		r.longest = max(r.longest, r.now.Sub(was))
	}
	r.rev++
	r.written[key] = r.now
	r.Wrote(key, Step{Kind: kind}, Lease{Holder: r.Self, Epoch: 1, Revision: r.rev}, r.now)
}

// renew writes what is due, and gives how many those were.
func (r *renewing) renew() (n int) {
	for key, b := range r.bases {
		if !r.now.Before(b.due) {
			r.write(key, RenewBase)
			n++
		}
	}
	return n
}

// Whatever had many Leases written at once, they are renewed evenly from then on, and each in
// time.
func TestRenewalsAreSpreadEvenly(t *testing.T) {
	const bases, tick = 10_000, 100 * time.Millisecond
	for name, c := range map[string]struct{ claiming time.Duration }{
		"claimed in a second":    {time.Second},
		"claimed in ten seconds": {10 * time.Second},
		"claimed in a minute":    {time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
			r := &renewing{State: NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{}), written: map[string]time.Time{}}
			var perSecond []int
			for at := time.Duration(0); at < c.claiming+3*r.Renew; at += tick {
				r.now = begin.Add(at)
				for len(r.written) < bases*int(min(at+tick, c.claiming)/tick)/int(c.claiming/tick) {
					r.write(fmt.Sprintf("base-%05d", len(r.written)), ClaimBase)
				}
				if at%time.Second == 0 {
					perSecond = append(perSecond, 0)
				}
				perSecond[len(perSecond)-1] += r.renew()
			}
			mean := float64(bases) * float64(time.Second) / float64(r.Renew)
			after := perSecond[int(c.claiming/time.Second):]
			if most, least := float64(slices.Max(after)), float64(slices.Min(after)); most > 1.3*mean || least < 0.7*mean {
				t.Errorf("%.0f to %.0f renewals a second, %.0f in the mean: %v", least, most, mean, after)
			}
			if r.longest > r.Renew+tick {
				t.Errorf("a Lease was renewed after %s", r.longest)
			}
		})
	}
}
