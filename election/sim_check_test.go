package election

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"

	"module-controller/shard"
)

// act is something that a replica did for a base, by the one clock of the bubble.
type act struct {
	at          time.Time
	base        string
	incarnation string
	epoch       int32
}

// history is what happened in a world.
type history struct {
	acts           []act
	wrong          []error              // what was seen to be wrong when it happened
	renewals       map[string]time.Time // when a stranger renewed a base's Lease last
	expired, moves int
	serve          map[string][]string // the environments of each incarnation
	evicted        map[string]bool     // incarnations that somebody had the broker end
}

// counts gives how many members were expired and how many bases changed hands.
func (w *world) counts() (expired, moves int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.expired, w.moves
}

func (w *world) blame(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Errorf(time.Now().Format("15:04:05.000 ")+format, args...))
}

// acted notes an act. Nobody but a stranger may stand in the Lease of a base that is
// acted for: who acts has stopped before another is named.
func (w *world) acted(a act) {
	if holder, _ := w.store.holder(leaseKey(a.base)); holder != a.incarnation && holder != "" && holder != stranger {
		w.blame("%s: %s acts although the Lease names %s", a.base, a.incarnation, holder)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, a)
}

// strange notes that a stranger stands in a base's Lease, and whether it moved the
// renew time.
func (w *world) strange(key string, moved bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.renewals == nil {
		w.renewals = map[string]time.Time{}
	}
	if delete(w.renewals, key); moved {
		w.renewals[key] = time.Now()
	}
}

// judge counts what replicas change, and says who robbed a stranger that lives.
func (w *world) judge(was, is *coordinationv1.Lease) {
	from, to := holderOf(was), holderOf(is)
	if from == to || from == "" {
		return
	}
	if was.Namespace == w.site.namespace {
		if is != nil && is.Annotations[noteState] == memberExpired {
			w.noteExpired(from)
		}
		return
	}
	if was.Namespace != "kube-node-lease" { // another installation's member
		return
	}
	key := was.Namespace + "/" + was.Name
	w.judgeSuccessor(was, to)
	w.mu.Lock()
	w.moves++
	renewed, renews := w.renewals[key]
	w.mu.Unlock()
	limit := time.Duration(ptr.Deref(was.Spec.LeaseDurationSeconds, 0))*time.Second + 10*time.Second
	limit = time.Duration(float64(limit) * (1 - maxDrift))
	if silent := time.Since(renewed); from == stranger && renews && silent < limit {
		w.blame("%s is taken by %q from a stranger who renewed it %s ago", key, to, silent)
	}
}

// judgeSuccessor says who was given a base of an environment that he does not serve.
func (w *world) judgeSuccessor(was *coordinationv1.Lease, to string) {
	w.mu.Lock()
	envs, ours := w.serve[to]
	w.mu.Unlock()
	if ours && !slices.Contains(envs, was.Labels[labelEnv]) {
		w.blame("%s of %s is given to %s, which serves %v", was.Name, was.Labels[labelEnv], to, envs)
	}
}

// noteExpired counts an expiry, and says who was expired with what it sent on its way
// through the broker still.
func (w *world) noteExpired(incarnation string) {
	w.mu.Lock()
	w.expired++
	evicted := w.evicted[incarnation]
	w.mu.Unlock()
	if !evicted {
		w.blame("%s was expired and not evicted before", incarnation)
	}
}

// Evict notes an eviction of somebody who has the broker and renewed only just now,
// but where a read had shown just before that he was silent or without it, or where it
// is the evictor's own earlier session.
func (p *process) Evict(_ context.Context, incarnation string) error {
	p.stopped.wait()
	p.world.mu.Lock()
	if p.world.evicted == nil {
		p.world.evicted = map[string]bool{}
	}
	p.world.evicted[incarnation] = true
	p.world.mu.Unlock()
	pod, _ := shard.PodOf(incarnation)
	key, s := p.world.site.memberKey(pod), p.world.store
	s.mu.Lock()
	lease, ago := s.leases[key], time.Since(s.written[key])
	s.mu.Unlock()
	p.member.mu.Lock()
	asked := time.Since(p.member.silent[key])
	p.member.mu.Unlock()
	const justNow = time.Second
	lives := lease != nil && holderOf(lease) == incarnation && lease.Annotations[noteLinks] == linksUp && ago < justNow
	if lives && pod != p.pod && min(asked, p.stopped.since()) > p.replica.cfg.Longest()/2 {
		p.world.blame("%s was evicted by %s %s after it renewed", incarnation, p.incarnation, ago)
	}
	return nil
}

// checkSafe says what must never be, and was.
func (w *world) checkSafe() error {
	backwards := w.store.backwards()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.acts, func(a, b act) int { return a.at.Compare(b.at) })
	return errors.Join(append(w.wrong, backwards, checkActs(w.acts))...)
}

// checkActs says where two incarnations acted for one base at a time, or an epoch
// fell.
func checkActs(acts []act) error {
	var errs []error
	last, over := map[string]act{}, map[string]map[string]bool{}
	for _, a := range acts {
		was, known := last[a.base]
		if known && was.incarnation != a.incarnation {
			if over[a.base] == nil {
				over[a.base] = map[string]bool{}
			}
			over[a.base][was.incarnation] = true
		}
		if over[a.base][a.incarnation] && known && was.incarnation != a.incarnation && was.epoch >= a.epoch {
			errs = append(errs, fmt.Errorf("%s: %s acts at %s with epoch %d after %s did with epoch %d",
				a.base, a.incarnation, a.at.Format("15:04:05.000"), a.epoch, was.incarnation, was.epoch))
		}
		if known && a.epoch < was.epoch {
			errs = append(errs, fmt.Errorf("%s: epoch falls from %d (%s) to %d (%s) at %s",
				a.base, was.epoch, was.incarnation, a.epoch, a.incarnation, a.at.Format("15:04:05.000")))
		}
		if known && a.epoch == was.epoch && a.incarnation != was.incarnation {
			errs = append(errs, fmt.Errorf("%s: %s and %s act with one epoch, %d", a.base, was.incarnation, a.incarnation, a.epoch))
		}
		last[a.base] = a
	}
	return errors.Join(errs...)
}

// checkServed says which bases are not served now, although nothing is wrong, and
// whether the load is not shared.
func (w *world) checkServed() error {
	var errs []error
	for base, silence := range w.silences(time.Now().Add(-2 * time.Second)) {
		if silence >= 2*time.Second {
			errs = append(errs, fmt.Errorf("%s is not served", base))
		}
	}
	for env, members := range w.servers() {
		load, bases, most := map[string]int{}, 0, 0
		for _, l := range w.store.snapshot("kube-node-lease") {
			if l.Labels[labelEnv] == env {
				bases++
				load[holderOf(l)]++
				most = max(most, load[holderOf(l)])
			}
		}
		if most > (bases+members-1)/members+1 {
			errs = append(errs, fmt.Errorf("not balanced: %v", load))
		}
	}
	return errors.Join(errs...)
}

// servers gives how many processes serve each environment.
func (w *world) servers() map[string]int {
	n := map[string]int{}
	for _, p := range w.processes {
		for _, env := range p.envs {
			n[env]++
		}
	}
	return n
}

// silences gives for each base the longest time, since then and until now, in which
// nobody acted for it.
func (w *world) silences(since time.Time) map[string]time.Duration {
	longest, last := map[string]time.Duration{}, map[string]time.Time{}
	note := func(base string, at time.Time) {
		from := since
		if !last[base].IsZero() {
			from = last[base]
		}
		longest[base], last[base] = max(longest[base], at.Sub(from)), at
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.acts {
		if a.at.After(since) {
			note(a.base, a.at)
		}
	}
	for _, base := range w.names {
		note(base, time.Now())
	}
	return longest
}
