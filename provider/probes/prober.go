package probes

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"module-controller/provider/plan"
)

// Deps are what the room works with. Recorder is needed.
type Deps struct {
	Dial     Dial // nil: no address is permitted
	Recorder record.EventRecorder
	Meter    Meter // default: nothing is counted
}

// Hooks are what the room asks of its user. They return at once and are called without
// locks held.
type Hooks struct {
	// Wake says that what Results gives for a Node changed.
	Wake func(node string)
}

// Meter counts probes. Its methods return at once and may be called from any goroutine.
type Meter interface {
	// Probed counts one probe. probe is Startup, Readiness or Liveness; result is
	// successful, failed or unknown.
	Probed(probe, result string)
}

type noMeter struct{}

func (noMeter) Probed(string, string) {}

// Prober probes the modules of the bases that this replica serves. Its methods may be
// called from any goroutine, and all but Run return at once.
type Prober struct {
	cfg   Config
	deps  Deps
	hooks Hooks
	make  maker
	kick  chan struct{} // has a place; full where the queue is to be looked at

	mu sync.Mutex
	// mu guards what follows
	queue  queue
	bases  map[string]*base // by Node
	events *rate.Limiter
}

// base is what is probed of one base.
type base struct {
	lane
	ip       string
	pods     []plan.Pod // all that may have given it Secrets; not changed
	paused   bool
	subjects map[key]*subject
	events   *rate.Limiter
}

// subject is a module that is probed.
type subject struct {
	*module
	key       key
	node      string
	base      *base
	pod       *corev1.Pod       // not changed
	container *corev1.Container // of pod
	probes    [kinds]*corev1.Probe
	tasks     [kinds]*task
	gone      bool // nothing is to be said of it any more
}

// New makes a Prober from a completed configuration. It starts nothing.
func New(cfg Config, deps Deps, hooks Hooks) *Prober {
	if deps.Meter == nil {
		deps.Meter = noMeter{}
	}
	if deps.Dial == nil {
		deps.Dial = nowhereToDial
	}
	return &Prober{
		cfg: cfg, deps: deps, hooks: hooks, make: newMaker(deps.Dial), kick: make(chan struct{}, 1),
		queue: queue{cfg: cfg}, bases: map[string]*base{}, events: newBudget(allEvents, allEventPause),
	}
}

// Set says what is to be probed on a Node, at which address of its base: the containers
// with probes whose modules run, as the pods' statuses say. What was there and is not any
// more is forgotten. It ends Pause.
func (p *Prober) Set(node, ip string, pods []plan.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, there := p.bases[node], map[key]bool{}
	for _, pod := range pods {
		for _, r := range runningIn(pod) {
			if b == nil {
				b = &base{subjects: map[key]*subject{}, events: newBudget(baseEvents, baseEventPause)}
				p.bases[node] = b
			}
			there[r.key] = true
			p.set(node, b, pod.Pod, r)
		}
	}
	if b == nil {
		return
	}
	b.ip, b.paused, b.pods = ip, false, slices.Clone(pods)
	for key, s := range b.subjects {
		if !there[key] {
			p.drop(s)
		}
	}
	if len(b.subjects) == 0 {
		delete(p.bases, node)
	}
}

// set takes in one module. The caller holds mu.
func (p *Prober) set(node string, b *base, pod *corev1.Pod, r running) {
	s := b.subjects[r.key]
	if s == nil {
		s = newSubject(node, b, r, time.Now())
		b.subjects[r.key] = s
	}
	s.pod, s.container, s.probes, s.leaving = pod, r.container, ofContainer(r.container), r.leaving
	s.believe(r.seed)
	p.schedule(s)
}

func newSubject(node string, b *base, r running, now time.Time) *subject {
	s := &subject{key: r.key, node: node, base: b}
	var timings [kinds]*timing
	for k, probe := range ofContainer(r.container) {
		timings[k] = timingOf(probe)
		s.tasks[k] = &task{subject: s, kind: kind(k), lane: &b.lane}
	}
	s.module = newModule(r.seed, timings, now, spreadFor(now.Sub(r.seed.since.Time)))
	return s
}

// spreadFor spreads the first probes of what has run for some time: it comes with many
// others when a base is taken over. What has just begun is probed at once.
func spreadFor(ran time.Duration) func(period time.Duration) time.Duration {
	return func(period time.Duration) time.Duration {
		if ran < period {
			return 0
		}
		return rand.N(period)
	}
}

// schedule has everything probed that is to be. The caller holds mu.
func (p *Prober) schedule(s *subject) {
	for k, t := range s.tasks {
		if !s.wants(kind(k)) || t.in != nowhere {
			continue
		}
		p.queue.put(t, s.checks[k].due)
		if t.index == 0 { // it is the first now
			p.look()
		}
	}
}

// look has the queue looked at.
func (p *Prober) look() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// drop forgets a module. The caller holds mu.
func (p *Prober) drop(s *subject) {
	s.gone = true
	delete(s.base.subjects, s.key)
	for _, t := range s.tasks {
		p.queue.drop(t)
	}
}

// Pause ends the probing of a Node's modules until Set, and keeps what is known of them.
func (p *Prober) Pause(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.bases[node]; b != nil {
		b.paused = true
	}
}

// Forget ends the probing of a Node's modules, and forgets them. What is in flight is said
// to nobody.
func (p *Prober) Forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bases[node]
	if b == nil {
		return
	}
	for _, s := range b.subjects {
		p.drop(s)
	}
	delete(p.bases, node)
}

// Results gives what is known of a Node's modules, by pod and container: of each that
// was given to Set and has a probe.
func (p *Prober) Results(node string) map[types.UID]map[string]plan.Probed {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bases[node]
	if b == nil {
		return nil
	}
	all := map[types.UID]map[string]plan.Probed{}
	for _, s := range b.subjects {
		if all[s.key.pod] == nil {
			all[s.key.pod] = map[string]plan.Probed{}
		}
		all[s.key.pod][s.key.container] = s.probed()
	}
	return all
}

// Run probes until ctx ends, and returns when all that it started has ended. It is called
// once.
func (p *Prober) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		t, next := p.pick() // it bounds how many are in flight
		if t == nil {
			p.wait(ctx, next)
			continue
		}
		wg.Go(func() { p.work(ctx, t) })
	}
}

func (p *Prober) pick() (*task, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.pick(time.Now())
}

// wait waits until a time, or until the queue is to be looked at. The zero time is never.
func (p *Prober) wait(ctx context.Context, until time.Time) {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-p.kick:
	case <-ctx.Done():
	}
}
