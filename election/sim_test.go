package election

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"

	"module-controller/shard"
	"module-controller/tunnel"
)

var (
	schedules = flag.Int("schedules", 100, "schedules of faults to simulate")
	seed      = flag.Uint64("seed", 0, "the only schedule to simulate; 0 for all")
)

const (
	simBases    = 12
	simReplicas = 3
	simFaults   = 6
)

// act is something that a replica did for a base, by the one clock of the bubble.
type act struct {
	at          time.Time
	base        string
	incarnation string
	epoch       int32
}

// world is a simulated cluster.
type world struct {
	store     *store
	rng       *rand.Rand
	processes []*process

	mu sync.Mutex
	// mu guards what follows
	acts    []act
	story   []string // the faults
	evicted []error  // who should not have been
}

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// process is one life of a replica as the simulation runs it.
type process struct {
	world        *world
	pod, uid     string
	incarnation  string
	work, member *link
	replica      *Replica
	stop, crash  context.CancelFunc
	crashed      context.Context //nolint:containedctx // the life of what it stands for
	skew         atomic.Int64    // of its wall clock, in nanoseconds
	ended        chan error
}

func (w *world) start(pod, uid string) *process {
	p := &process{world: w, pod: pod, uid: uid, incarnation: fmt.Sprintf("%s_%08x", pod, w.rng.Uint32()), ended: make(chan error, 1)}
	p.member = &link{store: w.store, rng: rand.New(rand.NewPCG(w.rng.Uint64(), 1)), latency: 5 * time.Millisecond, lag: 10 * time.Millisecond}
	p.work = &link{store: w.store, rng: rand.New(rand.NewPCG(w.rng.Uint64(), 2)), latency: 5 * time.Millisecond, lag: 10 * time.Millisecond,
		valid: func() bool { return p.crashed.Err() == nil && p.replica.Valid() }}
	changed := make(chan tunnel.BaseID, 1000)
	var err error
	p.replica, err = New(p.member, p.work, Config{
		Incarnation: p.incarnation, PodUID: uid, Namespace: "mc", Envs: []string{"dev"}, Workers: 4,
		Name:   func(b tunnel.BaseID) (string, error) { return b.Identity, nil },
		Base:   func(name string) (tunnel.BaseID, bool) { return tunnel.BaseID{Env: "dev", Identity: name}, true },
		Exists: func(b tunnel.BaseID) bool { return w.store.had("kube-node-lease/" + b.Identity) }, // its Node comes right after
		Wall:   func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) },
	}, Hooks{Changed: func(b tunnel.BaseID) {
		select {
		case changed <- b:
		default:
		}
	}, Evict: w.evict}, simLog(p.incarnation))
	if err != nil {
		panic(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.crashed, p.crash = context.WithCancel(context.Background())
	p.replica.Linked(true)
	go func() {
		p.ended <- p.replica.Run(ctx)
		p.crash()
	}()
	for b := range simBases {
		go p.serve(fmt.Sprintf("base-%02d", b))
	}
	return p
}

// evict notes an eviction of somebody who has the broker and renewed only just now.
func (w *world) evict(_ context.Context, incarnation string) error {
	pod, _ := shard.PodOf(incarnation)
	w.store.mu.Lock()
	lease, ago := w.store.leases["mc/"+pod], time.Since(w.store.written["mc/"+pod])
	w.store.mu.Unlock()
	const justNow = time.Second
	if lease != nil && deref(lease.Spec.HolderIdentity) == incarnation && lease.Annotations[noteLinks] == linksUp && ago < justNow {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.evicted = append(w.evicted, fmt.Errorf("%s was evicted %s after it renewed", incarnation, ago))
	}
	return nil
}

// serve acts for a base as the provider does: while the claim is held, and not for
// long once it is to be handed over.
func (p *process) serve(base string) {
	id := tunnel.BaseID{Env: "dev", Identity: base}
	rng := rand.New(rand.NewPCG(uint64(len(base)), uint64(base[len(base)-1])))
	for pause(p.crashed, time.Duration(50+rng.IntN(200))*time.Millisecond) {
		claim, held := p.replica.Claim(id)
		switch {
		case !held || !claim.Outlives(time.Now()):
		case claim.Leaving:
			p.replica.Yielded(id)
		default:
			w := p.world
			w.mu.Lock()
			w.acts = append(w.acts, act{time.Now(), base, claim.Holder, claim.Epoch})
			w.mu.Unlock()
		}
	}
}

// kill ends a process as kill -9 does: nothing leaves it any more.
func (p *process) kill() {
	p.crash()
	for _, l := range []*link{p.work, p.member} {
		l.set(func(l *link) { l.cut = true })
	}
	p.stop()
}

// happen has one fault happen to a replica, and gives the process that is its life
// afterwards.
func (w *world) happen(p *process) *process {
	long := time.Duration(w.rng.Int64N(int64(25 * time.Second)))
	links := []*link{p.work, p.member}
	switch kind := w.rng.IntN(12); kind {
	case 0, 1:
		uid := p.uid
		if kind == 1 {
			uid += "+" // a new pod of that name
		}
		w.tell("%s is killed; its next life is of pod %s", p.incarnation, uid)
		p.kill()
		w.hint(p.incarnation)
		pause(context.Background(), long/4)
		return w.start(p.pod, uid)
	case 2:
		w.tell("%s is stopped", p.incarnation)
		p.stop()
		<-p.crashed.Done()
		return w.start(p.pod, p.uid+"+")
	case 3, 4:
		w.tell("%s is cut off for %s", p.incarnation, long)
		w.during(links, long, func(l *link) { l.cut = true }, func(l *link) { l.cut = false })
		w.hint(p.incarnation)
	case 5:
		latency := time.Duration(300+w.rng.IntN(2700)) * time.Millisecond
		w.tell("%s is slow, up to %s each way, for %s", p.incarnation, latency, long)
		w.during(links, long, func(l *link) { l.latency = latency }, func(l *link) { l.latency = 5 * time.Millisecond })
	case 6:
		w.tell("%s sees late and loses answers for %s", p.incarnation, long)
		w.during(links, long, func(l *link) { l.lag, l.lose = 8*time.Second, 0.3 }, func(l *link) { l.lag, l.lose = 10*time.Millisecond, 0 })
	case 7:
		key := fmt.Sprintf("kube-node-lease/base-%02d", w.rng.IntN(simBases))
		w.tell("%s is deleted", key)
		w.store.remove(key)
	case 9:
		w.tell("%s is slow, and then cut off for %s", p.incarnation, long)
		w.during(links, 5*time.Second, func(l *link) { l.latency = time.Second }, func(l *link) { l.latency = 5 * time.Millisecond })
		pause(context.Background(), 4*time.Second)
		w.during(links, long, func(l *link) { l.cut = true }, func(l *link) { l.cut = false })
		w.hint(p.incarnation)
	case 10:
		w.tell("%s leaves, what it gives away is late, and it is cut off from its membership", p.incarnation)
		p.work.set(func(l *link) { l.latency = 9 * time.Second })
		p.member.set(func(l *link) { l.cut = true })
		p.stop()
		for _, other := range w.processes {
			other.replica.Hint(p.incarnation)
		}
	case 11:
		skew := time.Duration(w.rng.IntN(11)-5) * time.Minute
		w.tell("the wall clock of %s jumps to %s from the true time", p.incarnation, skew)
		p.skew.Store(int64(skew))
	case 8:
		w.tell("the membership Lease of %s is deleted", p.pod)
		w.store.remove("mc/" + p.pod)
	}
	return p
}

// hint has somebody say, half of the time, that an incarnation is gone.
func (w *world) hint(incarnation string) {
	if w.rng.IntN(2) == 0 {
		return
	}
	w.tell("%s is said to be gone", incarnation)
	for _, p := range w.processes {
		p.replica.Hint(incarnation)
	}
}

// during changes links for a while, without waiting for its end.
func (w *world) during(links []*link, long time.Duration, begin, end func(*link)) {
	for _, l := range links {
		l.set(begin)
	}
	time.AfterFunc(long, func() {
		for _, l := range links {
			l.set(end)
		}
	})
}

// simulate runs one schedule and says what was violated.
func simulate(seed uint64) (w *world, err error) {
	w = &world{store: newStore(), rng: rand.New(rand.NewPCG(seed, seed))}
	processes := make([]*process, simReplicas)
	w.processes = processes
	for i := range processes {
		processes[i] = w.start(fmt.Sprintf("mc-%d", i), fmt.Sprintf("uid-%d", i))
	}
	pause(context.Background(), 5*time.Second)
	for range simFaults {
		i := w.rng.IntN(simReplicas)
		processes[i] = w.happen(processes[i])
		for j, p := range processes { // who was ended by others goes on as somebody new
			select {
			case ended := <-p.ended:
				if errors.Is(ended, ErrReplaced) {
					w.tell("%s was ended by others", p.incarnation)
				}
				p.kill()
				processes[j] = w.start(p.pod, p.uid)
			default:
			}
		}
		pause(context.Background(), time.Duration(w.rng.Int64N(int64(8*time.Second))))
	}
	w.tell("the faults end")
	pause(context.Background(), time.Minute+10*time.Second)
	for j, p := range processes {
		select {
		case ended := <-p.ended:
			w.tell("%s has ended: %v", p.incarnation, ended)
			p.kill()
			processes[j] = w.start(p.pod, p.uid)
		default:
		}
	}
	pause(context.Background(), time.Minute)
	for _, p := range processes {
		w.tell("%s: %+v, may act: %v", p.incarnation, p.replica.Census(), p.replica.Valid())
	}
	err = errors.Join(append(w.evicted, w.store.backwards(), w.checkActs(), w.checkOwned(processes))...)
	for _, p := range processes {
		p.kill()
	}
	pause(context.Background(), 2*time.Minute)
	return w, err
}

// checkActs says where two incarnations acted for one base at a time, or an epoch
// fell.
func (w *world) checkActs() error {
	var errs []error
	last, over := map[string]act{}, map[string]map[string]bool{}
	slices.SortStableFunc(w.acts, func(a, b act) int { return a.at.Compare(b.at) })
	for _, a := range w.acts {
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

// checkOwned says which bases are not served at the end although nothing is wrong.
func (w *world) checkOwned(processes []*process) error {
	var errs []error
	recent := map[string]string{}
	for _, a := range w.acts {
		if time.Since(a.at) < 2*time.Second {
			recent[a.base] = a.incarnation
		}
	}
	for b := range simBases {
		base := fmt.Sprintf("base-%02d", b)
		if recent[base] == "" {
			errs = append(errs, fmt.Errorf("%s is not served", base))
		}
	}
	load := map[string]int{}
	for _, l := range w.store.snapshot("kube-node-lease") {
		load[deref(l.Spec.HolderIdentity)]++
	}
	most := 0
	for _, n := range load {
		most = max(most, n)
	}
	if most > (simBases+simReplicas-1)/simReplicas+1 {
		errs = append(errs, fmt.Errorf("not balanced: %v", load))
	}
	return errors.Join(errs...)
}

// Whatever happens to replicas and links, no two of them act for a base at a time,
// epochs never fall, and in the end every base is served and the load is shared.
func TestOwnershipUnderFaults(t *testing.T) {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	utilruntime.ErrorHandlers = nil // one of them sleeps by a clock that all bubbles share
	first, last := uint64(1), uint64(*schedules)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	var acts atomic.Int64
	parts := uint64(runtime.GOMAXPROCS(0))
	t.Run("schedules", func(t *testing.T) {
		for part := range parts {
			t.Run(strconv.FormatUint(part, 10), func(t *testing.T) {
				t.Parallel()
				for s := first + part; s <= last && !t.Failed(); s += parts {
					acts.Add(int64(simulated(t, s)))
				}
			})
		}
	})
	t.Logf("%d schedules, %d faults, %d acts", last-first+1, (last-first+1)*simFaults, acts.Load())
}

// simulated checks one schedule, and gives how many acts there were.
func simulated(t *testing.T, seed uint64) (acts int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, err := simulate(seed)
		acts = len(w.acts)
		if err != nil {
			t.Errorf("schedule %d (go test -run TestOwnershipUnderFaults ./election -args -seed=%d): %v\n%s", seed, seed, err, strings.Join(w.story, "\n"))
		}
	})
	return acts
}

var verbose = flag.Bool("verbose", false, "print the replicas' logs")

func simLog(incarnation string) *zap.Logger {
	if !*verbose {
		return zap.NewNop()
	}
	return zap.Must(zap.NewDevelopment()).Named(incarnation)
}
