package provider

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"module-controller/tunnel"
)

// Admission bounds which bases come in that are heard for the first time. A word costs its
// sender nothing, and us a Lease, requests and memory. Bases whose Nodes exist always come
// in. The zero value of each field means its default.
type Admission struct {
	// Rate is how many new bases come in each second, for each tunnel and for bound and
	// unbound senders apart; Burst how many at once. Defaults 500, 2000.
	Rate  float64
	Burst int
	// Unproven is how many of them may have answered nothing yet. Of those, some wait until
	// others have answered. Default 1000.
	Unproven int
	// Total is how many bases a replica knows. Default 20,000.
	Total int
}

func (a Admission) complete() Admission {
	return Admission{Rate: cmp.Or(a.Rate, 500), Burst: cmp.Or(a.Burst, 2000), Unproven: cmp.Or(a.Unproven, 1000), Total: cmp.Or(a.Total, 20_000)}
}

func (a Admission) validate() error {
	var errs []error
	if !(a.Rate > 0) { // NaN is not
		errs = append(errs, fmt.Errorf("the rate of new bases must be positive, is %v", a.Rate))
	}
	for _, f := range []struct {
		name string
		n    int
	}{{"new bases at once", a.Burst}, {"unproven bases", a.Unproven}, {"all bases", a.Total}} {
		if f.n <= 0 {
			errs = append(errs, fmt.Errorf("the number of %s must be positive, is %d", f.name, f.n))
		}
	}
	return errors.Join(errs...)
}

// readmitAfter is how long a base stays out that answered nothing. It is remembered of as
// many as Config.HistoryLimit.
const readmitAfter = time.Minute

// Why a base does not come in. They are values of a metric.
var (
	errNoNode        = &refusal{kind: "no_node_name", text: "it cannot be a Node: no setting changes that, give it another identity"}
	errOtherEnv      = &refusal{kind: "environment", text: "its environment is not served: add it to ENV if it is yours"}
	errNoAnswer      = &refusal{kind: "no_answer", text: "it answered nothing: see whether it accepts commands at the address that it names; it may try again in a minute, and STALE_AFTER is how long it has"}
	errBehind        = &refusal{passes: true, kind: "renewals_behind", text: "new bases wait while renewals of Leases are behind: a heartbeat lets it in once they have caught up; what helps is told beside \"leases fall behind\": KUBE_API_QPS, LEASE_WORKERS or more replicas"}
	errTotal         = &refusal{kind: "too_many_bases", text: "as many bases are known as a replica may know: raise MAX_BASES if they are yours"}
	errUnproven      = &refusal{passes: true, kind: "too_many_unproven", text: "too many new bases have not answered yet: its next heartbeat may let it in; raise MAX_UNPROVEN_BASES if so many come at a time"}
	errWaits         = &refusal{passes: true, text: "it comes in by itself once others have answered"} // neither counted nor told
	errTooManyAtOnce = &refusal{passes: true, kind: "too_many_new", text: "too many new bases at once: its next heartbeat may let it in; raise NEW_BASES_PER_SECOND if so many come at a time"}
)

// refusal is a kind of reason to refuse a base. One that passes ends by itself.
type refusal struct {
	kind, text string
	passes     bool
}

func (r *refusal) Error() string { return r.text }

// admission decides on bases that are heard for the first time, and knows which of those
// that came in have not answered. It may be used from any goroutine.
type admission struct {
	// limits gives what holds now.
	limits func() Admission
	// patience is how long a base may answer nothing.
	patience time.Duration

	mu sync.Mutex
	// mu guards what follows
	crowds   map[crowd]*fill
	unproven map[tunnel.BaseID]newcomer
	expelled *lru.Cache[tunnel.BaseID, time.Time]
	held     time.Time // nobody new was claimed then, so none of them could answer
}

// crowd is what new bases share: the excess of one keeps none of another out. Who is not
// bound can make up identities for nothing.
type crowd struct {
	tunnel string
	bound  bool
}

// fill is how far a crowd used what it has.
type fill struct {
	rate     *rate.Limiter
	unproven int
	since    time.Time // when the current minute began
	proofs   [2]int    // how many answered in the current minute, and in the one before it
	waiting  *waiting  // who came when no more were trusted
}

// strangers is how many bases of a crowd come in of which none answered lately. Each costs a
// Lease, whoever made it up.
const strangers = 200

// trusted is how many may be in unproven by what was proved lately: one more for each that
// answered. So a fleet that starts doubles it with each round of answers, and a flood gets
// what strangers get.
func (f *fill) trusted(now time.Time) int {
	f.turn(now)
	return strangers + f.proofs[0] + f.proofs[1]
}

// turn begins a new minute of proofs where one is over.
func (f *fill) turn(now time.Time) {
	switch age := now.Sub(f.since); {
	case age < time.Minute:
	case age < 2*time.Minute:
		f.since, f.proofs = f.since.Add(time.Minute), [2]int{0, f.proofs[0]}
	default:
		f.since, f.proofs = now, [2]int{}
	}
}

// follow has new bases come in as fast as limits say now.
func (f *fill) follow(l Admission, now time.Time) {
	if f.rate.Limit() != rate.Limit(l.Rate) {
		f.rate.SetLimitAt(now, rate.Limit(l.Rate))
	}
	if f.rate.Burst() != l.Burst {
		f.rate.SetBurstAt(now, l.Burst)
	}
}

// newcomer is a base that came in and has answered nothing yet.
type newcomer struct {
	crowd crowd
	since time.Time
}

func newAdmission(cfg Admission, patience time.Duration, remember int) (*admission, error) {
	expelled, err := lru.New[tunnel.BaseID, time.Time](remember)
	return &admission{
		limits: func() Admission { return cfg }, patience: patience,
		crowds: map[crowd]*fill{}, unproven: map[tunnel.BaseID]newcomer{}, expelled: expelled,
	}, err
}

// admit lets a base in, which is unproven from then on, or gives why not. Known is how many
// bases are. What is cheapest to see comes first, so that who is refused uses nothing up.
func (a *admission) admit(h tunnel.Heartbeat, known int, now time.Time) *refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, is := a.unproven[h.Base]; is { // another goroutine heard it just now
		return nil
	}
	limits := a.limits()
	c := crowd{h.Tunnel, h.Sender.Bound}
	in := a.crowds[c]
	if in == nil {
		in = &fill{rate: rate.NewLimiter(rate.Limit(limits.Rate), limits.Burst), waiting: newWaiting()}
		a.crowds[c] = in
	}
	in.follow(limits, now)
	out, was := a.expelled.Get(h.Base)
	switch {
	case was && now.Before(out.Add(readmitAfter)):
		return errNoAnswer
	case known >= limits.Total:
		return errTotal
	case in.unproven >= limits.Unproven:
		return errUnproven
	case in.unproven >= in.trusted(now):
		if in.waiting.add(h, limits.Unproven-in.unproven, now) {
			return errWaits
		}
		return errUnproven
	case !in.rate.AllowN(now, 1):
		return errTooManyAtOnce
	}
	in.waiting.remove(h.Base)
	in.unproven++
	a.unproven[h.Base] = newcomer{c, now}
	return nil
}

// prove takes in that a base answered, or that it has a Node.
func (a *admission) prove(id tunnel.BaseID, now time.Time) {
	if of := a.leave(id); of != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		of.turn(now)
		of.proofs[0]++
	}
}

// next gives a base that waited and comes in now, if there is one.
func (a *admission) next(now time.Time) (tunnel.Heartbeat, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range a.crowds {
		if in.unproven < in.trusted(now) {
			if h, is := in.waiting.next(now); is {
				return h, true
			}
		}
	}
	return tunnel.Heartbeat{}, false
}

// leave takes in that a base is not unproven any more: it is known no more, or was proved.
// It gives whose it was; nil where it was not unproven.
func (a *admission) leave(id tunnel.BaseID) *fill {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, is := a.unproven[id]
	if !is {
		return nil
	}
	delete(a.unproven, id)
	of := a.crowds[n.crowd]
	of.unproven--
	return of
}

// expel keeps a base out for a while.
func (a *admission) expel(id tunnel.BaseID, now time.Time) {
	a.leave(id)
	a.expelled.Add(id, now)
}

// hold takes in that nobody new is claimed.
func (a *admission) hold(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = now
}

// overdue says whether a base has answered nothing for too long. While our own link was
// down, or nobody new was claimed, it could not.
func (a *admission) overdue(id tunnel.BaseID, link tunnel.Link, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, is := a.unproven[id]
	if !is || !link.Up {
		return false
	}
	from := n.since
	for _, later := range []time.Time{link.Since, a.held} {
		if later.After(from) {
			from = later
		}
	}
	return now.Sub(from) >= a.patience
}
