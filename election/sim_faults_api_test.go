package election

import (
	"errors"
	"time"

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
