package scaling

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config are the times of scaling. The zero value of each field means its default.
type Config struct {
	// After is how long bases must be fewer before replicas are taken away: a base that
	// flaps, a restart and a failover are over sooner. Default 2 minutes.
	After time.Duration
	// Settle is how long bases must be more before replicas are added, so that many that
	// join together are one change. Default 2 seconds.
	Settle time.Duration
}

// Complete gives the configuration with defaults where it says nothing.
func (c Config) Complete() Config {
	c.After, c.Settle = cmp.Or(c.After, 2*time.Minute), cmp.Or(c.Settle, 2*time.Second)
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.After < time.Second {
		errs = append(errs, fmt.Errorf("PEER_SCALE_DOWN_AFTER must be 1s or more, is %s", c.After))
	}
	if c.Settle <= 0 {
		errs = append(errs, fmt.Errorf("the time in which bases settle must be positive, is %s", c.Settle))
	}
	return errors.Join(errs...)
}

// Damper is what is remembered of one Deployment between two looks at it. The zero value
// remembers nothing, as a session that has just begun: it waits as long as any other.
type Damper struct {
	trend trend
	// since is when the trend began, most the largest count since then. Both are zero while
	// the trend is steady.
	since time.Time
	most  int
}

// trend is how the count of bases is, beside the replicas.
type trend int

const (
	steady trend = iota
	fewer
	more
)

func trendOf(count, replicas int) trend {
	switch {
	case count < replicas:
		return fewer
	case count > replicas:
		return more
	}
	return steady
}

// Decision is what to do about a Deployment's replicas.
type Decision struct {
	// Scale says that the replicas are to be To.
	Scale bool
	To    int
	// Wait is how soon to look again, though nothing changes; 0 where nothing is waited for.
	Wait time.Duration
}

// Look takes in how many replicas a Deployment has and how many bases count now, and decides.
// Replicas are taken away once the count was lower for After without a break, down to the
// largest count of that time; they are added once it was higher for Settle, up to the count
// that there is then.
func (d *Damper) Look(replicas, count int, c Config, now time.Time) Decision {
	is := trendOf(count, replicas)
	if is != d.trend {
		*d = Damper{trend: is, since: now}
	}
	d.most = max(d.most, count)
	to, due := count, d.since.Add(c.Settle)
	switch is {
	case steady:
		*d = Damper{}
		return Decision{}
	case fewer:
		to, due = d.most, d.since.Add(c.After)
	case more:
	}
	if wait := due.Sub(now); wait > 0 {
		return Decision{Wait: wait}
	}
	return Decision{Scale: true, To: to}
}

// Scaled takes in that the replicas were set: until they are seen nothing more is due.
func (d *Damper) Scaled() { *d = Damper{} }
