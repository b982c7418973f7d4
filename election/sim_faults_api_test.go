package election

import (
	"errors"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// What an API server may do to who asks it: refuse, answer some never, be slow, show
// nothing.

func slow(l *link) { l.latency, l.least = 2*time.Second, 250*time.Millisecond }

// refuse has the API server refuse whatever one asks about bases.
func refuse(w *world, p *process, long time.Duration) {
	w.tell("%s has no rights to bases' Leases for %s", p.incarnation, long)
	refusal := apierrors.NewForbidden(resource, "", errors.New("no"))
	during([]*link{p.work}, long, func(l *link) { l.refuse = refusal }, func(l *link) { l.refuse = nil })
}

// lack has a third of all requests never answered, to all.
func lack(w *world, _ *process, long time.Duration) {
	w.tell("a third of requests is not answered for %s", long)
	for _, p := range w.processes {
		during(p.links(), long, func(l *link) { l.stuck = 0.33 }, func(l *link) { l.stuck = 0 })
	}
}

// crawl has the API server take half a second to four for each answer, to all.
func crawl(w *world, _ *process, long time.Duration) {
	w.tell("the API server is slow for %s", long)
	for _, p := range w.processes {
		during(p.links(), long, slow, onTime)
	}
}

// stall has a replica's watches show nothing, also those that it begins anew.
func stall(w *world, p *process, long time.Duration) {
	l := p.links()[w.rng.IntN(2)]
	w.tell("watches of %s stand still for %s", p.incarnation, long)
	during([]*link{l}, long, func(l *link) { l.still = true }, func(l *link) { l.still = false })
}

// stallOne has the watches that a replica has show nothing any more.
func stallOne(w *world, p *process, _ time.Duration) {
	w.tell("the watches of %s stand still", p.incarnation)
	for _, l := range p.links() {
		l.set(standStill)
	}
}

func standStill(l *link) {
	for _, w := range l.watchers {
		w.still = true
	}
}

// fallBehind has one be served by an API server that is behind the others: what it watches,
// and what it lists of what that server has in memory, is old.
func fallBehind(w *world, p *process, long time.Duration) {
	links, behind := [][]*link{p.links(), {p.work}}[w.rng.IntN(2)], time.Duration(w.rng.Int64N(int64(8*time.Second)))
	w.tell("the API server of %s is %s behind on %d of its links for %s", p.incarnation, behind, len(links), long)
	for _, l := range links {
		l.show() // another API server is another connection
	}
	during(links, long, func(l *link) { l.behind = behind }, func(l *link) { l.behind = 0 })
}

// miss has a replica's watches of bases leave out what happens in a while, and go on.
func miss(w *world, p *process, long time.Duration) {
	w.tell("the watches of bases of %s leave out what happens within %s", p.incarnation, long/5)
	during([]*link{p.work}, long/5, func(l *link) { l.gap = true }, func(l *link) { l.gap = false })
}

// relist has all watches of a replica end, and what they showed last be too old to go on from.
func relist(w *world, p *process, _ time.Duration) {
	w.tell("%s must list anew", p.incarnation)
	for _, l := range p.links() {
		l.show()
	}
}

// relabel has a person change or take away the labels of a base's Lease by which it is watched.
func relabel(w *world, _ *process, _ time.Duration) {
	key, label := w.anyBase(), []string{labelOwner, labelState, labelInstallation}[w.rng.IntN(3)]
	value, gone := []string{"", "mc-1", stateHandover, stateOwned}[w.rng.IntN(4)], w.rng.IntN(2) == 0
	w.tell("the label %s of %s is changed to %q, or is taken away: %v", label, key, value, gone)
	w.store.edit(key, func(l *coordinationv1.Lease) bool {
		if l.Labels[label] = value; gone {
			delete(l.Labels, label)
		}
		return true
	})
}
