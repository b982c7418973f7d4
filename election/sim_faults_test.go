package election

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
)

// fault has something happen that concerns one replica, most of it for at most a
// while.
type fault func(w *world, p *process, long time.Duration)

// faults are what may happen, each as often as every other; what stands twice happens
// twice as often.
var faults = []fault{
	crash, crash, terminate, terminateLate,
	cutOff, cutOff, cutOffLate, slowDown, delay, loseAnswers, mute, outage, crawl, refuse, lack,
	freeze, freeze, jumpClock, unlink,
	stall, stallOne, blind, fallBehind, miss, relist, relabel, deleteBase, deleteMember, putBack, twin, usurp, usurp, empty,
}

// happen has one fault happen.
func (w *world) happen() {
	p := w.processes[w.rng.IntN(simReplicas)]
	long := time.Duration(w.rng.Int64N(int64(25 * time.Second)))
	faults[w.rng.IntN(len(faults))](w, p, long)
}

// crash is kill -9. What starts then is the container or another pod of that name.
func crash(w *world, p *process, long time.Duration) {
	uid := p.uid
	if w.rng.IntN(2) == 0 {
		uid += "+"
	}
	w.tell("%s is killed; its next session is of pod %s", p.incarnation, uid)
	p.kill()
	w.maybeSuspect(p)
	w.wait(long / 4)
	w.start(p.index, uid)
}

// terminate is SIGTERM.
func terminate(w *world, p *process, _ time.Duration) {
	w.tell("%s is stopped", p.incarnation)
	p.stop()
	<-p.crashed.Done()
	w.start(p.index, p.uid+"+")
}

func terminateLate(w *world, p *process, _ time.Duration) {
	w.tell("%s leaves, what it transfers is late, and it is cut off from its membership", p.incarnation)
	p.work.set(func(l *link) { l.latency = 9 * time.Second })
	p.member.set(func(l *link) { l.cut = true })
	p.stop()
	for _, other := range w.processes {
		other.replica.Suspect(p.incarnation)
	}
}

// What may happen to a link, and its end.
func cut(l *link)    { l.cut = true }
func mended(l *link) { l.cut = false }
func silent(l *link) { l.mute = true }
func heard(l *link)  { l.mute = false }
func tardy(l *link)  { l.latency = 15 * time.Second }
func onTime(l *link) { l.latency, l.least = usualLatency, 0 }

func cutOff(w *world, p *process, long time.Duration) {
	w.tell("%s is cut off for %s", p.incarnation, long)
	during(p.links(), long, cut, mended)
	w.maybeSuspect(p)
}

func cutOffLate(w *world, p *process, long time.Duration) {
	w.tell("%s is slow, and then cut off for %s", p.incarnation, long)
	during(p.links(), 5*time.Second, func(l *link) { l.latency = time.Second }, onTime)
	w.wait(4 * time.Second)
	during(p.links(), long, cut, mended)
	w.maybeSuspect(p)
}

func slowDown(w *world, p *process, long time.Duration) {
	latency := time.Duration(300+w.rng.IntN(2700)) * time.Millisecond
	w.tell("%s is slow, up to %s each way, for %s", p.incarnation, latency, long)
	during(p.links(), long, func(l *link) { l.latency = latency }, onTime)
}

// delay has requests arrive long after their sender gave them up.
func delay(w *world, p *process, long time.Duration) {
	w.tell("what %s sends arrives up to 15 s later, for %s", p.incarnation, long)
	during(p.links(), long, tardy, onTime)
	w.maybeSuspect(p)
}

func loseAnswers(w *world, p *process, long time.Duration) {
	w.tell("%s sees late and loses answers for %s", p.incarnation, long)
	during(p.links(), long, func(l *link) { l.lag, l.lose = 8*time.Second, 0.3 }, func(l *link) { l.lag, l.lose = usualLag, 0 })
}

// mute has requests never answered, on both links or on one.
func mute(w *world, p *process, long time.Duration) {
	links := [][]*link{p.links(), {p.work}, {p.member}}[w.rng.IntN(3)]
	w.tell("%s gets no answers on %d of its links for %s", p.incarnation, len(links), long)
	during(links, long, silent, heard)
}

// outage is one of the API server: it concerns all.
func outage(w *world, _ *process, long time.Duration) {
	w.tell("the API server is away for %s", long)
	for _, p := range w.processes {
		during(p.links(), long, cut, mended)
		w.maybeSuspect(p)
	}
}

// freeze is SIGSTOP, and SIGCONT up to 30 s later.
func freeze(w *world, p *process, long time.Duration) {
	long = long * 6 / 5
	w.tell("%s is frozen for %s", p.incarnation, long)
	p.stopped.stop(long)
	w.maybeSuspect(p)
}

func jumpClock(w *world, p *process, _ time.Duration) {
	skew := time.Duration(w.rng.IntN(11)-5) * time.Minute
	w.tell("the wall clock of %s jumps to %s from the true time", p.incarnation, skew)
	p.skew.Store(int64(skew))
}

// unlink takes the broker from a replica.
func unlink(w *world, p *process, long time.Duration) {
	w.tell("%s loses the broker for %s", p.incarnation, long)
	p.replica.Linked(false)
	time.AfterFunc(long, func() { p.replica.Linked(true) })
}

// blind has a replica not see the changes of one Lease, until it must list anew.
func blind(w *world, p *process, long time.Duration) {
	l, key := p.work, w.anyBase()
	if w.rng.IntN(2) == 0 {
		l, key = p.member, w.site.memberKey(w.processes[w.rng.IntN(simReplicas)].pod)
	}
	w.tell("%s does not see the changes of %s for %s", p.incarnation, key, long)
	l.set(func(l *link) { l.hidden = key })
	time.AfterFunc(long, l.show)
}

func deleteBase(w *world, _ *process, _ time.Duration) {
	key := w.anyBase()
	w.tell("%s is deleted", key)
	w.store.remove(key)
}

func deleteMember(w *world, p *process, _ time.Duration) {
	w.tell("the membership Lease of %s is deleted", p.pod)
	w.store.remove(w.site.memberKey(p.pod))
}

// putBack has a membership Lease deleted and put back as it was, before or after its
// member noticed.
func putBack(w *world, p *process, long time.Duration) {
	key := w.site.memberKey(p.pod)
	w.tell("the membership Lease of %s is deleted, and put back %s later", p.pod, long/30)
	lease := w.store.remove(key)
	if lease != nil {
		w.wait(long / 30)
		w.store.putBack(lease)
	}
}

// twin has another pod of a name start while the one before runs on, on a machine that
// cannot be reached, perhaps, until that is switched off.
func twin(w *world, p *process, long time.Duration) {
	reachable := w.rng.IntN(2) == 0
	w.tell("%s runs on for %s beside its next session; reachable: %v", p.incarnation, long, reachable)
	if !reachable {
		during(p.links(), long/2, cut, mended)
	}
	w.replaced = append(w.replaced, p)
	w.start(p.index, p.uid+"+")
	time.AfterFunc(long, p.kill)
}

func (w *world) anyBase() string { return leaseKey(w.names[w.rng.IntN(len(w.names))]) }

// usurp has a stranger's name written into a base's Lease: by hand, the renew time
// left as it was or not, or by another controller, which renews it for a while.
func usurp(w *world, _ *process, long time.Duration) {
	key, moved := w.anyBase(), w.rng.IntN(2) == 0
	if w.rng.IntN(2) == 0 {
		long = 0 // nobody renews it
	}
	if w.usurp(key, moved) {
		w.tell("a stranger stands in %s, its renew time moved: %v, and renews it for %s", key, moved, long)
		go w.renewStrange(key, long)
	}
}

// empty has a person take the holder out of a base's Lease, the renew time left as it
// was or not.
func empty(w *world, _ *process, _ time.Duration) {
	key, moved := w.anyBase(), w.rng.IntN(2) == 0
	w.tell("the holder is taken out of %s, its renew time moved: %v", key, moved)
	w.store.edit(key, func(l *coordinationv1.Lease) bool {
		if moved {
			*l = *renewed(l, strangeDuration, time.Now())
		}
		nobody := ""
		l.Spec.HolderIdentity = &nobody
		return true
	})
}

// stranger is what other controllers may be called.
const stranger = "node-7_0b6c6a0e-8a51-4f0b-b2f8-5e3ad3a52b1e"

// strangeDuration is what the stranger promises to renew within, strangeRenew is how
// often it does.
const (
	strangeDuration = 15 * time.Second
	strangeRenew    = 3 * time.Second
)

// usurp writes the stranger into a Lease, if somebody else stands there.
func (w *world) usurp(key string, moved bool) bool {
	return w.store.edit(key, func(l *coordinationv1.Lease) bool {
		if holderOf(l) == stranger {
			return false
		}
		if moved {
			*l = *renewed(l, strangeDuration, time.Now())
		}
		w.strange(key, moved)
		holder, epoch := stranger, ptr.Deref(l.Spec.LeaseTransitions, 0)+1
		l.Spec.HolderIdentity, l.Spec.LeaseTransitions = &holder, &epoch
		return true
	})
}

// renewStrange renews as the stranger until it stands there no more.
func (w *world) renewStrange(key string, long time.Duration) {
	for end := time.Now().Add(long); time.Now().Before(end); {
		w.wait(strangeRenew)
		if !w.store.edit(key, func(l *coordinationv1.Lease) bool {
			if holderOf(l) != stranger {
				return false
			}
			*l = *renewed(l, strangeDuration, time.Now())
			w.strange(key, true)
			return true
		}) {
			return
		}
	}
}

// maybeSuspect has somebody report, half of the time, that a replica is gone.
func (w *world) maybeSuspect(p *process) {
	if w.rng.IntN(2) == 0 {
		return
	}
	w.tell("%s is suspected", p.incarnation)
	w.suspectAll(p)
}

func (w *world) suspectAll(gone *process) {
	for _, p := range w.processes {
		p.replica.Suspect(gone.incarnation)
	}
}

// during changes links for a while, without waiting for its end.
func during(links []*link, long time.Duration, begin, end func(*link)) {
	for _, l := range links {
		l.set(begin)
	}
	time.AfterFunc(long, func() {
		for _, l := range links {
			l.set(end)
		}
	})
}
