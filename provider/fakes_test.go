package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/provider/traces"
	"module-controller/shard"
	"module-controller/tunnel"
)

// owner is an Owner that does as it is told. It is what the Leases would show.
type owner struct {
	mu sync.Mutex
	// mu guards what follows
	wake     func(tunnel.BaseID)
	grants   bool // a base that is asked for is this replica's at once
	newWait  bool
	claims   map[tunnel.BaseID]*claim
	epochs   map[tunnel.BaseID]int32
	requests map[tunnel.BaseID]bool // what was asked for: each has a Lease
	drained  map[tunnel.BaseID]bool
	retired  map[tunnel.BaseID]bool
	// notes gives what a base's Lease is to tell when it is written; noted is what it tells.
	notes func(tunnel.BaseID) map[string]string
	noted map[tunnel.BaseID]map[string]string
}

// claim is a base that is this replica's.
type claim struct {
	shard.Claim
	suspended bool // it cannot be renewed now
}

func newOwner() *owner {
	return &owner{
		wake: func(tunnel.BaseID) {}, grants: true, claims: map[tunnel.BaseID]*claim{}, epochs: map[tunnel.BaseID]int32{},
		requests: map[tunnel.BaseID]bool{}, drained: map[tunnel.BaseID]bool{}, retired: map[tunnel.BaseID]bool{},
		notes: func(tunnel.BaseID) map[string]string { return nil }, noted: map[tunnel.BaseID]map[string]string{},
	}
}

func (o *owner) Noted(id tunnel.BaseID) map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.noted[id]
}

// writes writes a base's Lease.
func (o *owner) writes(id tunnel.BaseID) {
	notes := o.notes(id)
	o.mu.Lock()
	defer o.mu.Unlock()
	if notes != nil {
		o.noted[id] = notes
	}
}

func (o *owner) Claim(id tunnel.BaseID) (shard.Claim, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests[id] = true
	if o.claims[id] == nil && o.grants {
		o.win(id)
	}
	c := o.claims[id]
	if c == nil || c.suspended {
		return shard.Claim{}, false
	}
	c.Deadline = time.Now().Add(time.Minute)
	return c.Claim, true
}

func (o *owner) NewWait() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.newWait
}

// holds has new bases wait, or come in again.
func (o *owner) holds(wait bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.newWait = wait
}

func (o *owner) Held(id tunnel.BaseID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.claims[id] != nil
}

func (o *owner) Drained(id tunnel.BaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drained[id] = true
}

// Retire implements Owner: the claim is given up and nobody asks for it any more.
func (o *owner) Retire(id tunnel.BaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retired[id] = true
	delete(o.claims, id)
	delete(o.requests, id)
}

// win gives the base to this replica. The caller holds mu.
func (o *owner) win(id tunnel.BaseID) {
	o.epochs[id]++
	o.claims[id] = &claim{Claim: shard.Claim{Epoch: o.epochs[id], Since: time.Now(), Phase: shard.Owned}}
}

// change changes who may act, and wakes the provider as an owner must.
func (o *owner) change(id tunnel.BaseID, how func()) {
	o.mu.Lock()
	how()
	o.mu.Unlock()
	o.wake(id)
}

// wins has the base won, after another replica had it.
func (o *owner) wins(id tunnel.BaseID) {
	o.change(id, func() {
		o.epochs[id]++
		o.win(id)
	})
}

func (o *owner) loses(id tunnel.BaseID) {
	o.change(id, func() {
		o.grants = false
		delete(o.claims, id)
	})
}

func (o *owner) suspends(id tunnel.BaseID) { o.change(id, func() { o.claims[id].suspended = true }) }

func (o *owner) renews(id tunnel.BaseID) {
	o.change(id, func() { o.claims[id].suspended, o.claims[id].Since = false, time.Now() })
}

func (o *owner) phase(id tunnel.BaseID, p shard.Phase) {
	o.change(id, func() {
		o.claims[id].Phase = p
		delete(o.drained, id)
	})
}

func (o *owner) isDrained(id tunnel.BaseID) bool   { return o.has(o.drained, id) }
func (o *owner) isRetired(id tunnel.BaseID) bool   { return o.has(o.retired, id) }
func (o *owner) isRequested(id tunnel.BaseID) bool { return o.has(o.requests, id) }

func (o *owner) has(set map[tunnel.BaseID]bool, id tunnel.BaseID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return set[id]
}

// base is a base as it is, whoever talks to it.
type base struct {
	mu sync.Mutex
	// mu guards what follows
	modules map[tunnel.ModuleKey]tunnel.State
	did     []string // what it was told to do and did, as its own log has it
	// silent: it answers nothing. stuck: it keeps commands and does nothing about them.
	// deaf: commands to it are lost.
	silent, stuck, deaf bool
	kept                []tunnel.Command
	listedAt            time.Time // when it told its modules last
	failure             string    // why its installs fail
}

// takes has a command arrive, and gives what the base answers; false for nothing.
func (b *base) takes(c tunnel.Command) (tunnel.Report, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changes := c.Verb != tunnel.ListModules && c.Verb != tunnel.ReadHealth
	switch {
	case b.silent, changes && b.deaf:
		return tunnel.Report{}, false
	case changes && b.stuck:
		b.kept = append(b.kept, c)
		return tunnel.Report{}, false
	case changes:
		return tunnel.Report{Answer: b.does(c)}, true
	case c.Verb == tunnel.ReadHealth:
		return tunnel.Report{Health: &tunnel.Health{MaxMemory: 1 << 28, UsedMemory: 1 << 26, CPUs: 2, Uptime: time.Since(epoch)}}, true
	}
	b.listedAt = time.Now()
	return tunnel.Report{Listed: true, Modules: b.list()}, true
}

// epoch is when every base was started.
var epoch = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func (b *base) list() (list []tunnel.Module) {
	for _, key := range slices.SortedFunc(maps.Keys(b.modules), func(x, y tunnel.ModuleKey) int {
		return slices.Compare([]string{x.Name, x.Version}, []string{y.Name, y.Version})
	}) {
		list = append(list, tunnel.Module{ModuleKey: key, State: b.modules[key]})
	}
	return list
}

// does carries a command out. The caller holds mu.
func (b *base) does(c tunnel.Command) *tunnel.Answer {
	b.did = append(b.did, fmt.Sprintf("%s %s", c.Verb, c.Module))
	answer := &tunnel.Answer{Verb: c.Verb, Module: c.Module, Outcome: tunnel.Done, RequestID: c.RequestID}
	switch {
	case c.Verb == tunnel.UninstallModule:
		delete(b.modules, c.Module)
	case b.failure != "":
		answer.Outcome, answer.Message = tunnel.Failed, b.failure
	default:
		b.modules[c.Module] = tunnel.Activated
	}
	return answer
}

func (b *base) set(how func(*base)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	how(b)
}

func (b *base) has(key tunnel.ModuleKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.modules[key] != ""
}

// log is what the base did.
func (b *base) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.did)
}

// toldWithin says whether it told its modules in the time before now.
func (b *base) toldWithin(d time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.listedAt.IsZero() && time.Since(b.listedAt) <= d
}

// latency is how long a command and its answer take.
const latency = 5 * time.Millisecond

// wire is a tunnel to bases in memory.
type wire struct {
	name string
	sink tunnel.Sink

	mu sync.Mutex
	// mu guards what follows
	bases    map[tunnel.BaseID]*base
	followed map[tunnel.BaseID]tunnel.Heartbeat
	fails    map[tunnel.Verb]error // what Do returns
	leaves   func(tunnel.Command)  // called before a command leaves, if set
}

func newWire(name string) *wire {
	return &wire{name: name, bases: map[tunnel.BaseID]*base{}, followed: map[tunnel.BaseID]tunnel.Heartbeat{}, fails: map[tunnel.Verb]error{}}
}

func (w *wire) Name() string { return w.name }

func (w *wire) Run(ctx context.Context, _ tunnel.Sink) error {
	<-ctx.Done()
	return nil
}

func (w *wire) Follow(h tunnel.Heartbeat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.followed[h.Base] = h
}

func (w *wire) Unfollow(id tunnel.BaseID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.followed, id)
}

func (w *wire) follows(id tunnel.BaseID) bool {
	_, ok := w.follow(id)
	return ok
}

// follow is how a base is followed.
func (w *wire) follow(id tunnel.BaseID) (h tunnel.Heartbeat, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok = w.followed[id]
	return h, ok
}

// failsWith has commands of these verbs refused; nil ends that.
func (w *wire) failsWith(err error, verbs ...tunnel.Verb) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range verbs {
		w.fails[v] = err
	}
}

func (w *wire) Do(_ context.Context, id tunnel.BaseID, c tunnel.Command) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaves != nil {
		w.leaves(c)
	}
	_, followed := w.followed[id]
	switch to := w.bases[id]; {
	case w.fails[c.Verb] != nil:
		return fmt.Errorf("send %s: %w", c.Verb, w.fails[c.Verb])
	case !followed:
		return tunnel.ErrNotFollowed
	case to != nil:
		time.AfterFunc(latency, func() { w.arrives(id, to, c) })
	}
	return nil
}

func (w *wire) arrives(id tunnel.BaseID, to *base, c tunnel.Command) {
	if r, ok := to.takes(c); ok {
		w.reports(id, r)
	}
}

// loses has what is sent to a base reach nobody.
func (w *wire) loses(id tunnel.BaseID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.bases, id)
}

// resumes has a stuck base do what it kept.
func (w *wire) resumes(id tunnel.BaseID) {
	w.mu.Lock()
	to := w.bases[id]
	w.mu.Unlock()
	to.set(func(b *base) { b.stuck = false })
	for _, c := range to.kept {
		w.arrives(id, to, c)
	}
}

func (w *wire) reports(id tunnel.BaseID, r tunnel.Report) {
	if !w.follows(id) {
		return
	}
	r.Base, r.Tunnel, r.Received = id, w.name, time.Now()
	w.sink.Report(r)
}

// told is an Event: what it is about, and its reason.
type told struct{ kind, name, reason string }

// recorder keeps Events.
type recorder struct {
	mu sync.Mutex
	// mu guards what follows
	events map[told]string // with the type and message of the last one
	total  int
}

func (r *recorder) Event(obj runtime.Object, kind, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := told{reason: reason}
	switch o := obj.(type) {
	case *corev1.Pod:
		e.kind, e.name = "Pod", o.Name
	case *corev1.ObjectReference:
		e.kind, e.name = o.Kind, o.Name
	}
	r.events[e] = kind + " " + message
	r.total++
}

// count is how many Events were recorded.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func (r *recorder) Eventf(obj runtime.Object, kind, reason, format string, args ...any) {
	r.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

func (r *recorder) AnnotatedEventf(obj runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	r.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

func (r *recorder) has(e told) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[e]
}

// testProvider is a provider among fakes, with one base behind one wire.
type testProvider struct {
	*Provider
	t        *testing.T
	api      *api
	owner    *owner
	wire     *wire // the first of its tunnels
	base     *base // that the wire reaches as shop
	events   *recorder
	logs     *observer.ObservedLogs
	ports    *ports // that modules listen on
	statuses *statuses
}

var (
	shop   = tunnel.BaseID{Env: "dev", Identity: "b"}
	orders = tunnel.ModuleKey{Name: "orders", Version: "1"}
)

// shopNode is the name of the Node of the base shop.
const shopNode = "vnode.b.dev"

// newTestProvider makes a provider that nobody runs yet. More wires are less preferred.
func newTestProvider(t *testing.T, cfg Config, more []*wire, objects ...runtime.Object) *testProvider {
	t.Helper()
	return newReplica(t, cfg, more, newAPI(objects...), &base{modules: map[tunnel.ModuleKey]tunnel.State{}}, nil)
}

// newReplica makes a provider that has its API server and its base in common with others, and
// is traced unless by is nil.
func newReplica(t *testing.T, cfg Config, more []*wire, in *api, at *base, by *traces.Tracer) *testProvider {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	p := &testProvider{
		t: t, api: in, owner: newOwner(), wire: newWire("wire"), logs: logs,
		base: at, events: &recorder{events: map[told]string{}}, ports: &ports{open: map[string]bool{}}, statuses: &statuses{},
	}
	wires := append([]*wire{p.wire}, more...)
	var tunnels []tunnel.Tunnel
	for _, w := range wires {
		tunnels = append(tunnels, w)
	}
	var err error
	p.Provider, err = New(cfg, Deps{
		Client: p.api, Metadata: newMetadata(), Owner: p.owner, Tunnels: tunnels, Log: zap.New(core), Envs: []string{"dev", "test"},
		Recorder: p.events, Network: Network{Dial: p.ports.dial}, Observers: Observers{Traces: by, StatusWritten: p.statuses.add},
	})
	must(t, err)
	t.Cleanup(p.queue.ShutDown)
	p.owner.wake, p.owner.notes = p.Changed, p.leaseNotes
	for _, w := range wires {
		w.sink, w.bases[shop] = p, p.base
		p.Link(tunnel.Link{Tunnel: w.name, Up: true, Since: time.Now().Add(-time.Hour)})
	}
	return p
}

func (p *testProvider) leaseLabels(id tunnel.BaseID) map[string]string {
	labels, _ := p.LeaseMeta(id)
	return labels
}

func (p *testProvider) leaseNotes(id tunnel.BaseID) map[string]string {
	_, notes := p.LeaseMeta(id)
	return notes
}

// running runs a provider until the test ends. It must be called in a bubble.
func running(t *testing.T, objects ...runtime.Object) *testProvider {
	t.Helper()
	p := newTestProvider(t, Config{}, nil, objects...)
	p.runs()
	return p
}

func (p *testProvider) runs() {
	p.t.Helper()
	ctx, end := context.WithCancel(p.t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := p.Run(ctx); err != nil {
			p.t.Errorf("run: %v", err)
		}
	})
	p.t.Cleanup(func() {
		end()
		run.Wait()
	})
	<-p.Ready()
	synctest.Wait()
}

// passes has time pass, and waits until nothing is left to be done then.
func (p *testProvider) passes(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// beats has the base shop heard.
func (p *testProvider) beats(change ...func(*tunnel.Heartbeat)) {
	h := tunnel.Heartbeat{Base: shop, Tunnel: "wire", Name: "shop", Version: "1", Cluster: "c", IP: "192.0.2.1", Hostname: "h", Received: time.Now()}
	for _, c := range change {
		c(&h)
	}
	p.Heartbeat(h)
}

// serves has the base shop heard and served, with a Node that the caches know.
func (p *testProvider) serves(change ...func(*tunnel.Heartbeat)) {
	p.t.Helper()
	p.beats(change...)
	p.passes(3 * time.Second)
	if p.node() == nil || p.notReady() != "" || !p.wire.follows(shop) {
		p.t.Fatalf("it is not served: Node %v, followed %v", p.node(), p.wire.follows(shop))
	}
}

// installs has a pod bound to the base and its module installed.
func (p *testProvider) installs(pod *corev1.Pod) {
	p.t.Helper()
	p.binds(pod)
	p.passes(3 * time.Second)
	if got := p.pod(pod.Name); !p.base.has(orders) || got.Status.Phase != corev1.PodRunning {
		p.t.Fatalf("it is not installed: base %v, pod %+v", p.base.log(), got.Status)
	}
}

func (p *testProvider) binds(pod *corev1.Pod) {
	p.t.Helper()
	_, err := p.api.CoreV1().Pods(pod.Namespace).Create(p.t.Context(), pod, metav1.CreateOptions{})
	must(p.t, err)
}

// terminates begins the deletion of a pod as the API server does.
func (p *testProvider) terminates(name string) {
	p.t.Helper()
	pod := p.pod(name).DeepCopy()
	now, grace := metav1.Now(), int64(30)
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
	_, err := p.api.CoreV1().Pods(pod.Namespace).Update(p.t.Context(), pod, metav1.UpdateOptions{})
	must(p.t, err)
}

// pod is a pod as the API server has it; nil for none.
func (p *testProvider) pod(name string) *corev1.Pod {
	pod, err := p.api.CoreV1().Pods("default").Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return pod
}

// node is the Node of shop as the API server has it; nil for none.
func (p *testProvider) node() *corev1.Node {
	node, err := p.api.CoreV1().Nodes().Get(p.t.Context(), shopNode, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return node
}

// notReady is why the Node of shop shows that it is not ready.
func (p *testProvider) notReady() string { return plan.NotReadyOf(p.node()) }

// phase is how far the base shop has come; only to be asked while nothing runs.
func (p *testProvider) phase() lifecycle.Phase {
	if r := p.bases.get(shop); r != nil {
		return r.base.Phase()
	}
	return lifecycle.Unknown
}

// podOn is a pod of the module orders:1, bound to the Node of shop.
func podOn(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", CreationTimestamp: metav1.Now(),
			Labels: map[string]string{plan.LabelComponent: plan.ComponentModule},
		},
		Spec: corev1.PodSpec{NodeName: shopNode, Containers: []corev1.Container{{
			Name: "orders", Image: "file:///orders.jar", Env: []corev1.EnvVar{{Name: plan.EnvVersion, Value: "1"}},
		}}},
	}
}

// nodeOf is the Node that a base became which was heard so.
func nodeOf(h tunnel.Heartbeat, notReady string) *corev1.Node {
	name, err := plan.NodeName(h.Base)
	if err != nil {
		panic(err)
	}
	node := plan.Node(plan.NodeInput{Now: time.Now(), Name: name, Heartbeat: h, NotReady: notReady}, nil)
	node.UID = types.UID("uid of " + name)
	return node
}

var errRefused = errors.New("no")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// taken is a status of a pod that the API server took: what its first container waited for
// before, and waits for since.
type taken struct{ pod, was, is string }

// statuses are those that were taken.
type statuses struct {
	mu  sync.Mutex
	all []taken // mu guards it
}

func (s *statuses) add(pod *corev1.Pod, before, status corev1.PodStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, taken{pod.Name, waits(&corev1.Pod{Status: before}), waits(&corev1.Pod{Status: status})})
}

// of gives those of a pod.
func (s *statuses) of(pod string) (all []taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.all {
		if t.pod == pod {
			all = append(all, t)
		}
	}
	return all
}
