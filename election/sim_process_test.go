package election

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"module-controller/shard"
	"module-controller/tunnel"
)

// process is one session of a replica as the simulation runs it.
type process struct {
	world        *world
	index        int
	pod, uid     string
	envs         []string
	rate         float64       // how fast its monotonic clock runs
	deadline     time.Duration // its RenewDeadline; 0 for the default
	incarnation  string
	work, member *link
	replica      *Replica
	stop, crash  context.CancelFunc
	crashed      context.Context //nolint:containedctx // the life of what it stands for
	skew         atomic.Int64    // of its wall clock, in nanoseconds
	stopped      stopped
	ended        chan error
}

// start begins a session of one of the replicas, in a pod.
func (w *world) start(index int, uid string) *process {
	pod := w.site.pod(index)
	p := &process{world: w, index: index, pod: pod, uid: uid, envs: w.envs[index], incarnation: fmt.Sprintf("%s_%08x", pod, w.rng.Uint32()), ended: make(chan error, 1)}
	if p.envs == nil {
		p.envs = []string{"dev"}
	}
	w.mu.Lock()
	if w.serve == nil {
		w.serve = map[string][]string{}
	}
	w.serve[p.incarnation] = p.envs
	w.mu.Unlock()
	if w.vary {
		p.rate = 1 + maxDrift*(2*w.rng.Float64()-1)
		p.deadline = []time.Duration{0, 0, 2 * time.Second, 7 * time.Second}[w.rng.IntN(4)]
	}
	p.member = newLink(w.store, &p.stopped, w.rng.Uint64(), 1)
	p.work = newLink(w.store, &p.stopped, w.rng.Uint64(), 2)
	p.work.valid = func() bool { return p.crashed.Err() == nil && p.replica.Valid() }
	var err error
	p.replica, err = New(p.config(), NoMeter, cmp.Or(w.log, simLog(p.incarnation)))
	if err != nil {
		panic(err)
	}
	if w.vary {
		p.replica.state = shard.NewState(p.replica.cfg.identity(), slowed(p.replica.cfg.Timing, p.rate))
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.crashed, p.crash = context.WithCancel(context.Background())
	p.replica.Linked(true)
	go func() {
		p.ended <- p.replica.Run(ctx, Deps{Members: p.member, Bases: p.work, Nodes: p, Hooks: p})
		p.crash()
	}()
	for _, base := range w.names {
		if slices.Contains(p.envs, envOf(base)) {
			go p.serve(base)
		}
	}
	w.processes[index] = p
	return p
}

func (p *process) config() Config {
	return Config{
		Incarnation: p.incarnation, PodUID: p.uid, Namespace: p.world.site.namespace, Envs: p.envs, Workers: 4,
		Name:   func(b tunnel.BaseID) (string, error) { return b.Identity, nil },
		Base:   func(name string) (tunnel.BaseID, bool) { return tunnel.BaseID{Env: envOf(name), Identity: name}, true },
		Timing: shard.Timing{RenewDeadline: p.deadline},
		Wall:   func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) },
	}
}

// maxDrift is how much faster or slower than the true one a clock runs at most.
const maxDrift = 0.01

// slowed are durations as they pass by a clock that runs at a rate.
func slowed(t shard.Timing, rate float64) shard.Timing {
	for _, d := range []*time.Duration{&t.RenewDeadline, &t.FailureTimeout, &t.SuspicionTimeout, &t.Renew, &t.Missing, &t.ForeignGrace, &t.Settle, &t.ColdStart, &t.Handover} {
		*d = time.Duration(float64(*d) / rate)
	}
	return t
}

// HasNode: a base's Node comes right after its first Lease.
func (p *process) HasNode(b tunnel.BaseID) bool { return p.world.store.had(leaseKey(b.Identity)) }

func (p *process) LeaseMeta(tunnel.BaseID) (labels, notes map[string]string) { return nil, nil }

func (p *process) Changed(tunnel.BaseID) {}

func baseName(i int) string { return fmt.Sprintf("base-%02d", i) }

// envOf gives the environment of a base: what its name begins with, if that is not base.
func envOf(base string) string {
	if env, _, _ := strings.Cut(base, "-"); env != "base" {
		return env
	}
	return "dev"
}

func leaseKey(base string) string { return "kube-node-lease/" + base }
func (p *process) links() []*link { return []*link{p.work, p.member} }

// serve acts for a base as the provider does: while the claim is held, and not for
// long once it is to be handed over.
func (p *process) serve(base string) {
	id := tunnel.BaseID{Env: envOf(base), Identity: base}
	rng := rand.New(rand.NewPCG(uint64(len(base)), uint64(base[len(base)-1])))
	for pause(p.crashed, time.Duration(50+rng.IntN(200))*time.Millisecond) {
		claim, held := p.replica.Claim(id)
		switch {
		case !held || !claim.Outlives(time.Now()):
		case claim.Phase >= shard.Draining:
			p.replica.Drained(id)
		default:
			p.act(base, claim, time.Duration(rng.IntN(50))*time.Millisecond)
		}
	}
}

// act has a command leave for a base as the tunnels do: it takes a moment, and what
// is asked last, where the bytes leave, is whether the replica may act.
func (p *process) act(base string, claim shard.Claim, takes time.Duration) {
	if !pause(p.crashed, takes) {
		return
	}
	p.stopped.wait()
	if p.crashed.Err() == nil && p.replica.Valid() {
		p.world.acted(act{time.Now(), base, claim.Holder, claim.Epoch})
	}
}

// kill ends a process as kill -9 does: nothing leaves it any more.
func (p *process) kill() {
	p.crash()
	for _, l := range p.links() {
		l.set(func(l *link) { l.cut = true })
	}
	p.stop()
}
