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
)

// The simulation runs replicas as they are against a store in memory, in synthetic
// time. This file runs it, sim_process_test.go one replica; sim_faults_test.go is what may
// happen, sim_check_test.go what must hold, store_test.go and link_test.go the API server
// and the ways to it. sim_single_test.go has one fault alone, sim_stories_test.go what
// follows from some; sim_installations_test.go and sim_environments_test.go have two
// installations, and members that serve different environments.

var (
	schedules = flag.Int("schedules", 40, "schedules of faults to simulate; under the race detector a quarter of them")
	seed      = flag.Uint64("seed", 0, "the only schedule to simulate; 0 for all")
	verbose   = flag.Bool("verbose", false, "print the replicas' logs")
)

const (
	simBases    = 12
	simReplicas = 3
	simFaults   = 6
)

// world is a simulated cluster.
type world struct {
	store     *store
	rng       *rand.Rand
	site      site
	log       *zap.Logger // of the replicas; nil for one that -verbose prints
	processes []*process
	envs      [][]string // that the next session of each serves; nil for dev
	names     []string   // of the bases
	replaced  []*process // that may run still beside another one of their name
	vary      bool       // whether replicas are configured otherwise, each, and their clocks run otherwise

	mu sync.Mutex
	// mu guards what follows
	history
	story []string // the faults
}

// site is where an installation runs: the namespace of its membership Leases, and what
// its pods' names begin with.
type site struct{ namespace, pods string }

func (s site) pod(index int) string        { return fmt.Sprintf("%s-%d", s.pods, index) }
func (s site) memberKey(pod string) string { return s.namespace + "/" + pod }

func newWorld(seed uint64) *world {
	w := newSite(newStore(), site{"mc", "mc"}, seed)
	w.begin()
	return w
}

// newSite is an installation of which nothing runs yet.
func newSite(s *store, at site, seed uint64) *world {
	w := &world{store: s, site: at, rng: rand.New(rand.NewPCG(seed, seed))}
	w.size(simReplicas, simBases)
	s.judges = append(s.judges, w.judge)
	return w
}

// size says of how many replicas and bases a world is that has not begun.
func (w *world) size(replicas, bases int) {
	w.processes, w.envs, w.names = make([]*process, replicas), make([][]string, replicas), nil
	for b := range bases {
		w.names = append(w.names, baseName(b))
	}
}

// begin starts all replicas.
func (w *world) begin() {
	for i := range w.processes {
		w.start(i, fmt.Sprintf("uid-%d", i))
		w.wait(time.Duration(w.rng.Int64N(int64(time.Second)))) // so that they do not renew in step
	}
}

// wait has time pass.
func (w *world) wait(d time.Duration) { pause(context.Background(), d) }

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// revive has who was ended, by others or by itself, go on as somebody new.
func (w *world) revive() {
	for _, p := range w.processes {
		select {
		case ended := <-p.ended:
			if errors.Is(ended, ErrReplaced) {
				w.tell("%s was ended by others", p.incarnation)
			}
			p.kill()
			w.start(p.index, p.uid)
		default:
		}
	}
}

// end ends a world, and waits until nothing runs in it any more.
func (w *world) end() {
	for _, p := range slices.Concat(w.processes, w.replaced) {
		p.kill()
	}
	w.wait(2 * time.Minute)
}

// simulate runs one schedule and says what was violated.
func simulate(seed uint64) (w *world, err error) {
	w = newSite(newStore(), site{"mc", "mc"}, seed)
	w.vary = true
	w.begin()
	defer w.end()
	w.wait(5 * time.Second)
	return w, w.schedule()
}

// schedule has faults happen, and says what was violated.
func (w *world) schedule() error {
	for range simFaults {
		w.happen()
		w.revive()
		w.wait(time.Duration(w.rng.Int64N(int64(8 * time.Second))))
	}
	w.tell("the faults end")
	w.wait(time.Minute + 10*time.Second)
	w.revive()
	w.wait(time.Minute)
	for _, p := range w.processes {
		w.tell("%s: %+v, may act: %v", p.incarnation, p.replica.Census(), p.replica.Valid())
	}
	return errors.Join(w.checkSafe(), w.checkServed())
}

// Whatever happens to replicas and links, no two of them act for a base at a time,
// epochs never fall, nobody is robbed, and in the end every base is served and the
// load is shared.
func TestOwnershipUnderFaults(t *testing.T) {
	first, last := uint64(1), uint64(*schedules)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	var ran, acts atomic.Int64
	eachSeed(t, first, last, func(t *testing.T, seed uint64) {
		w, err := simulate(seed)
		ran.Add(1)
		acts.Add(int64(len(w.acts)))
		if err != nil {
			t.Errorf("schedule %d (go test -run TestOwnershipUnderFaults ./election -args -seed=%d): %v\n%s", seed, seed, err, strings.Join(w.story, "\n"))
		}
	})
	t.Logf("%d schedules, %d faults, %d acts", ran.Load(), ran.Load()*simFaults, acts.Load())
}

// eachSeed runs a test for each seed, in synthetic time, on all processors; under the race
// detector only for the first quarter.
func eachSeed(t *testing.T, first, last uint64, test func(t *testing.T, seed uint64)) {
	t.Helper()
	quiet()
	last = first + (last-first)/fewer
	parts := uint64(runtime.GOMAXPROCS(0))
	t.Run("seeds", func(t *testing.T) {
		for part := range parts {
			t.Run(strconv.FormatUint(part, 10), func(t *testing.T) {
				t.Parallel()
				for s := first + part; s <= last && !t.Failed(); s += parts {
					synctest.Test(t, func(t *testing.T) { test(t, s) })
				}
			})
		}
	})
}

// quiet has client-go say nothing.
func quiet() {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	utilruntime.ErrorHandlers = nil // one of them sleeps by a clock that all bubbles share
}

func simLog(incarnation string) *zap.Logger {
	if !*verbose {
		return zap.NewNop()
	}
	return zap.Must(zap.NewDevelopment()).Named(incarnation)
}
