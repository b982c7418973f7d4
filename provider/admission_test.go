package provider

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// drops counts what was dropped, by its reason.
type drops struct {
	noMeter
	mu sync.Mutex
	// mu guards what follows
	count map[string]int
}

func (d *drops) Dropped(tunnel, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[tunnel+" "+reason]++
}

func (d *drops) of(what string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count[what]
}

// admitting runs a provider with limits, and counts what it drops.
func admitting(t *testing.T, limits Admission, objects ...runtime.Object) (*testProvider, *drops) {
	t.Helper()
	p := newTestProvider(t, Config{Admission: limits}, nil, objects...)
	d := &drops{count: map[string]int{}}
	p.bases.meter = d
	p.runs()
	return p, d
}

func ghost(i int) tunnel.BaseID { return tunnel.BaseID{Env: "dev", Identity: fmt.Sprint("ghost-", i)} }

// floods has so many made up bases heard, of which none answers.
func (p *testProvider) floods(n int, change ...func(*tunnel.Heartbeat)) {
	for i := range n {
		p.beats(append(change, func(h *tunnel.Heartbeat) { h.Base = ghost(i) })...)
	}
}

// heardOf is how many of these bases this process knows, and of how many it asked for the
// claim: each of those has a Lease.
func (p *testProvider) heardOf(n int) (known, leases int) {
	for i := range n {
		if p.bases.get(ghost(i)) != nil {
			known++
		}
		if p.owner.isRequested(ghost(i)) {
			leases++
		}
	}
	return known, leases
}

// Made up identities cost a bounded number of records and Leases, each one that is refused
// is counted, as many are told as fit, and a base that is served feels nothing.
func TestAFloodOfIdentitiesIsBounded(t *testing.T) {
	const n, most = 10_000, 20
	synctest.Test(t, func(t *testing.T) {
		p, dropped := admitting(t, Admission{Unproven: most})
		p.serves()
		p.installs(podOn("orders"))
		p.api.failsWith(errRefused, "create nodes") // a Node would prove that its base answers
		for range 6 {                               // a minute
			p.floods(n / 6)
			p.beats()
			p.passes(10 * time.Second)
			if known, leases := p.heardOf(n); known > most || leases > most || p.bases.size() != known+1 {
				t.Fatalf("%d of them are known, %d have Leases, %d records", known, leases, p.bases.size())
			}
		}
		if got := dropped.of("wire too_many_unproven") + dropped.of("wire no_answer"); got < n-6*most-6 {
			t.Errorf("%d refused ones were counted", got)
		}
		if told := len(p.refusals()); told > 2*100 { // of each reason 50 at once, and as many in a minute
			t.Errorf("%d were told", told)
		}
		if p.notReady() != "" || !p.base.toldWithin(20*time.Second) || p.pod("orders") == nil || !p.base.has(orders) {
			t.Errorf("the base that was there is %q, it did %v", p.notReady(), p.base.log())
		}
		p.passes(2 * time.Minute)
		if known, leases := p.heardOf(n); known > 0 || leases > 0 {
			t.Errorf("two minutes later %d of them are known, %d have Leases", known, leases)
		}
	})
}

// Who is not bound keeps out none who is, and one tunnel none of another.
func TestAFloodKeepsOutOnlyItsOwnCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{Unproven: 3, Burst: 10})
		p.floods(100)
		p.beats()
		if p.bases.get(shop) != nil {
			t.Error("one more of the crowd came in")
		}
		p.beats(func(h *tunnel.Heartbeat) { h.Sender.Bound = true })
		if p.bases.get(shop) == nil {
			t.Error("a bound base was kept out by those that are not")
		}
		p.beats(func(h *tunnel.Heartbeat) { h.Base, h.Tunnel = ghost(1000), "other" })
		if p.bases.get(ghost(1000)) == nil {
			t.Error("a base of another tunnel was kept out")
		}
	})
}

// A sound base that was refused comes in at a later heartbeat, once those before it have
// answered or are out.
func TestARefusedBaseComesInLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dropped := admitting(t, Admission{Unproven: 3})
		p.floods(100)
		p.beats()
		if p.bases.get(shop) != nil || dropped.of("wire too_many_unproven") != 98 {
			t.Fatalf("it came in at once, %d were refused", dropped.of("wire too_many_unproven"))
		}
		p.passes(41 * time.Second)
		p.serves()
	})
}

// A base that never answers is let go, its Lease too, and stays out for a minute however
// often it is heard.
func TestABaseThatNeverAnswersIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dropped := admitting(t, Admission{})
		p.api.failsWith(errRefused, "create nodes") // a Node would prove that it is one
		p.base.set(func(b *base) { b.silent = true })
		beats := func(d time.Duration) {
			for range d / (10 * time.Second) {
				p.beats()
				p.passes(10 * time.Second)
			}
		}
		beats(30 * time.Second)
		if p.bases.get(shop) == nil || !p.owner.isRequested(shop) || !p.wire.follows(shop) {
			t.Fatal("it was let go too early")
		}
		beats(20 * time.Second)
		if p.bases.get(shop) != nil || p.owner.isRequested(shop) || p.wire.follows(shop) || !p.owner.isRetired(shop) {
			t.Error("it was not let go")
		}
		beats(40 * time.Second)
		if p.bases.get(shop) != nil || p.owner.isRequested(shop) || dropped.of("wire no_answer") < 4 {
			t.Errorf("it is back, %d were counted", dropped.of("wire no_answer"))
		}
		if got := p.logs.FilterMessage("base refused").All(); len(got) != 1 || !strings.Contains(fmt.Sprint(got[0].ContextMap()["error"]), "answered nothing") {
			t.Errorf("told was %v", got)
		}
		p.api.failsWith(nil, "create nodes")
		p.base.set(func(b *base) { b.silent = false })
		p.passes(30 * time.Second)
		p.serves()
	})
}

// One that was heard once, and is silent then, needs no second heartbeat to be let go.
func TestABaseThatWasHeardOnceIsLetGo(t *testing.T) {
	for name, grants := range map[string]bool{"ours": true, "another's": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := admitting(t, Admission{})
				p.owner.grants = grants
				p.api.failsWith(errRefused, "create nodes")
				p.base.set(func(b *base) { b.silent = true })
				p.beats()
				p.passes(39 * time.Second)
				if p.bases.get(shop) == nil {
					t.Fatal("it was let go too early")
				}
				p.passes(35 * time.Second) // the Node that cannot be written is tried with pauses
				if p.bases.get(shop) != nil || p.owner.isRequested(shop) {
					t.Error("it was not let go")
				}
			})
		})
	}
}

// A base that is another replica's answers there: its Node tells that it did.
func TestABaseWhoseNodeAppearsHasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{Unproven: 1})
		p.owner.grants = false
		p.beats()
		p.floods(1)
		if known, _ := p.heardOf(1); known != 0 {
			t.Fatal("a second one came in")
		}
		_, err := p.api.CoreV1().Nodes().Create(t.Context(), nodeOf(heard("wire"), ""), metav1.CreateOptions{})
		must(t, err)
		p.passes(time.Second)
		p.floods(1)
		if known, _ := p.heardOf(1); known != 1 {
			t.Error("it counts as unproven still")
		}
		p.passes(time.Minute)
		if p.bases.get(shop) == nil {
			t.Error("it was let go")
		}
	})
}

// A base that answered while another of its heartbeats was on its way in has answered.
func TestABaseThatAnsweredMeanwhileIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{Unproven: 1})
		p.serves()
		p.api.failsWith(errRefused, "create nodes")
		p.floods(1)
		p.Report(tunnel.Report{Base: ghost(0), Tunnel: "wire", Received: time.Now()})
		p.bases.discover(heardAs(ghost(0))) // which its first heartbeat overtook
		p.beats(func(h *tunnel.Heartbeat) { h.Base = ghost(1) })
		if p.bases.get(ghost(1)) == nil {
			t.Error("it counts as unproven")
		}
	})
}

func heardAs(id tunnel.BaseID) tunnel.Heartbeat {
	h := heard("wire")
	h.Base = id
	return h
}

// A base whose Node is there comes in whatever the limits are.
func TestABaseWithANodeComesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{Unproven: 1, Total: 1}, nodeOf(heard("wire"), ""))
		if p.bases.get(shop) == nil {
			t.Fatal("it was not adopted")
		}
		p.bases.remove(p.bases.get(shop))
		p.floods(3)
		p.serves()
	})
}

// While our own link is down a base cannot answer.
func TestOurSilenceIsNotTheBases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{})
		p.api.failsWith(errRefused, "create nodes")
		p.base.set(func(b *base) { b.silent = true })
		p.beats()
		p.passes(30 * time.Second)
		p.Link(tunnel.Link{Tunnel: "wire", Since: time.Now()})
		p.passes(time.Minute)
		p.Link(tunnel.Link{Tunnel: "wire", Up: true, Since: time.Now()})
		p.beats()
		p.passes(30 * time.Second)
		if p.bases.get(shop) == nil {
			t.Error("it was let go while it could not answer")
		}
		for range 4 {
			p.beats()
			p.passes(10 * time.Second)
		}
		if p.bases.get(shop) != nil {
			t.Error("it was not let go")
		}
	})
}

func TestAdmit(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	beat := func(i int) tunnel.Heartbeat { return tunnel.Heartbeat{Base: ghost(i), Tunnel: "wire"} }
	for _, c := range []struct {
		name   string
		limits Admission
		before func(*admission)
		beat   tunnel.Heartbeat
		known  int
		want   *refusal
	}{
		{name: "the first", beat: beat(0)},
		{name: "as many as may be", beat: beat(0), known: 20_000, want: errTotal},
		{name: "one less", beat: beat(0), known: 19_999},
		{name: "too many at once", limits: Admission{Burst: 1}, before: func(a *admission) { a.admit(beat(1), 0, noon) }, beat: beat(0), want: errTooManyAtOnce},
		{name: "once more", limits: Admission{Burst: 1}, before: func(a *admission) { a.admit(beat(0), 0, noon) }, beat: beat(0)},
		{name: "in time", limits: Admission{Burst: 1, Rate: 1}, before: func(a *admission) { a.admit(beat(1), 0, noon.Add(-time.Second)) }, beat: beat(0)},
		{name: "too many unproven", limits: Admission{Unproven: 1}, before: func(a *admission) { a.admit(beat(1), 0, noon) }, beat: beat(0), want: errUnproven},
		{name: "of which one left", limits: Admission{Unproven: 1}, before: func(a *admission) { a.admit(beat(1), 0, noon); a.leave(ghost(1)); a.leave(ghost(1)) }, beat: beat(0)},
		{name: "expelled", before: func(a *admission) { a.expel(ghost(0), noon.Add(-59*time.Second)) }, beat: beat(0), want: errNoAnswer},
		{name: "expelled a minute ago", before: func(a *admission) { a.expel(ghost(0), noon.Add(-time.Minute)) }, beat: beat(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := newAdmission(c.limits.complete(), time.Minute, 10)
			must(t, err)
			if c.before != nil {
				c.before(a)
			}
			if got := a.admit(c.beat, c.known, noon); got != c.want {
				t.Errorf("it is refused for %v, want %v", got, c.want)
			}
		})
	}
}

// Limits that change hold from then on, also for a crowd that is known.
func TestLimitsMayChange(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	now := Limits{Admission: Admission{Burst: 2, Rate: 1}, QuestionRate: 1}
	door, err := newAdmission(Admission{}.complete(), time.Minute, 10)
	must(t, err)
	asked := newQuestions(lifecycle.Config{}.Complete())
	followLimits(func() Limits { return now }, door, asked)
	taken := func(at time.Time, from int) (n int) {
		for i := range 10 {
			if door.admit(tunnel.Heartbeat{Base: ghost(from + i), Tunnel: "wire"}, 0, at) == nil {
				n++
			}
		}
		return n
	}
	if n := taken(noon, 0); n != 2 {
		t.Errorf("%d came in, want 2", n)
	}
	now.Admission = Admission{Burst: 5, Rate: 5}
	if n := taken(noon.Add(time.Second), 100); n != 1 {
		t.Errorf("what was saved up until the limits changed let %d in, want 1", n)
	}
	if n := taken(noon.Add(3*time.Second), 200); n != 5 {
		t.Errorf("with other limits %d came in, want 5", n)
	}
	now.Admission.Unproven = 7
	if got := door.admit(tunnel.Heartbeat{Base: ghost(1000), Tunnel: "wire"}, 0, noon.Add(time.Hour)); got != errUnproven {
		t.Errorf("with %d that have not answered: %v", 7, got)
	}
	asked.spend(1, noon)
	if got := asked.room(noon).Sub(noon); got != time.Second {
		t.Errorf("room for a question after %s", got)
	}
	now.QuestionRate = 100
	asked.spend(1, noon)
	if got := asked.room(noon).Sub(noon); got != 20*time.Millisecond {
		t.Errorf("with another rate after %s", got)
	}
}

func TestAdmissionIsValidated(t *testing.T) {
	for _, bad := range []Admission{{Rate: -1}, {Rate: math.NaN()}, {Burst: -1}, {Unproven: -1}, {Total: -1}} {
		if err := (Config{Admission: bad}).Complete().Validate(); err == nil || !strings.Contains(err.Error(), "must be positive") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := (Config{}).Complete().Validate(); err != nil {
		t.Error(err)
	}
}

// Each refusal is counted, and told at most once a minute of each base, with the number; a flood
// of one kind is told in part.
func TestRefusalsAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dropped := admitting(t, Admission{Unproven: 1})
		for range 3 {
			p.floods(100)
			p.beats(func(h *tunnel.Heartbeat) { h.Base.Env = "prod" })
			p.passes(31 * time.Second)
		}
		numbers := map[string][]int64{}
		for _, l := range p.logs.FilterMessage("base refused").All() {
			kind := l.ContextMap()["reason"].(string)
			numbers[kind] = append(numbers[kind], l.ContextMap()["times"].(int64))
		}
		if got := numbers["environment"]; len(got) != 2 || got[0] != 1 || got[1] != 2 {
			t.Errorf("of another environment told were %v", got)
		}
		if got := numbers["too_many_unproven"]; len(got) < 50 || len(got) > 110 {
			t.Errorf("of too many %d were told: %v", len(got), got)
		}
		if n := dropped.of("wire environment"); n != 3 {
			t.Errorf("%d of another environment were counted", n)
		}
	})
}

// Sound bases that are heard for the first time, many times more than may be unproven, are
// all served soon: the limits are for those that do not answer.
func TestAColdStartOfManyBases(t *testing.T) {
	const n, pause = 200, 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{Rate: 10, Burst: 40, Unproven: 20}) // a 50th of the defaults, for a 50th of 10,000
		for i := range n {
			p.wire.bases[ghost(i)] = &base{modules: map[tunnel.ModuleKey]tunnel.State{}}
		}
		for range 2 {
			for i := range n {
				p.beats(func(h *tunnel.Heartbeat) { h.Base = ghost(i) })
				p.passes(pause / n)
			}
		}
		p.passes(2 * time.Second)
		nodes := 0
		for i := range n {
			if p.HasNode(ghost(i)) {
				nodes++
			}
		}
		if nodes != n {
			t.Errorf("after two heartbeats %d of %d have Nodes", nodes, n)
		}
	})
}

// BenchmarkDiscovery is what a base costs that is heard for the first time, in time and in
// memory that stays.
func BenchmarkDiscovery(b *testing.B) {
	door, err := newAdmission(Admission{Rate: math.MaxInt32, Burst: math.MaxInt32, Unproven: math.MaxInt32, Total: math.MaxInt32}, time.Minute, 10)
	if err != nil {
		b.Fatal(err)
	}
	r := &roster{registry: newRegistry(), envs: map[string]bool{"dev": true}, door: door, log: zap.NewNop()}
	if r.history, err = newHistory(10); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h := tunnel.Heartbeat{Base: ghost(i), Tunnel: "wire", Name: "shop", IP: "192.0.2.1", Hostname: "h"}
		name, err := plan.NodeName(h.Base)
		if err != nil || door.admit(h, 0, time.Now()) != nil {
			b.Fatal("refused")
		}
		r.enter(name, h).inbox.heartbeat(h)
	}
}
