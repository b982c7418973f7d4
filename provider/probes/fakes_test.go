package probes

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/provider/plan"
)

// network is what is reached from here, by address.
type network struct {
	mu sync.Mutex
	// mu guards what follows
	at    map[string]error // nil: somebody listens; what is not there refuses
	hangs map[string]bool  // nobody answers
	dials map[string][]time.Time
}

func newNetwork() *network {
	return &network{at: map[string]error{}, hangs: map[string]bool{}, dials: map[string][]time.Time{}}
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[address] = append(n.dials[address], time.Now())
	hangs, err, there := n.hangs[address], error(nil), false
	err, there = n.at[address]
	n.mu.Unlock()
	switch {
	case hangs:
		<-ctx.Done()
		return nil, fmt.Errorf("dial tcp %s: %w", address, ctx.Err())
	case err != nil:
		return nil, err
	case !there:
		return nil, fmt.Errorf("dial tcp %s: %w", address, syscall.ECONNREFUSED)
	}
	here, there2 := net.Pipe()
	_ = there2.Close()
	return here, nil
}

func (n *network) alters(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *network) opens(address string)  { n.alters(func() { n.at[address] = nil }) }
func (n *network) closes(address string) { n.alters(func() { delete(n.at, address) }) }

// asked is how often an address was asked.
func (n *network) asked(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.dials[address])
}

// witness keeps what a Prober tells: Events, wakes, counts.
type witness struct {
	mu sync.Mutex
	// mu guards what follows
	events []string
	about  []*corev1.Pod
	wakes  map[string]int
	counts map[string]int
}

func (w *witness) Event(obj runtime.Object, kind, reason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, kind+" "+reason+" "+message)
	w.about = append(w.about, obj.(*corev1.Pod))
}

func (w *witness) Eventf(obj runtime.Object, kind, reason, format string, args ...any) {
	w.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

func (w *witness) AnnotatedEventf(obj runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	w.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

func (w *witness) Probed(probe, result string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[probe+" "+result]++
}

func (w *witness) wake(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakes[node]++
}

func (w *witness) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func (w *witness) woken(node string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wakes[node]
}

func (w *witness) counted() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

// testProber is a Prober that runs among fakes, in a bubble.
type testProber struct {
	*Prober
	*network
	*witness
	t *testing.T
}

func runs(t *testing.T, cfg Config) *testProber {
	t.Helper()
	p := &testProber{network: newNetwork(), witness: &witness{wakes: map[string]int{}, counts: map[string]int{}}, t: t}
	p.Prober = New(cfg.Complete(), Deps{Dial: p.dial, Recorder: p.witness, Meter: p.witness}, Hooks{Wake: p.wake})
	ctx, end := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		end()
		run.Wait()
	})
	return p
}

func passes(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

const (
	node = "vnode.b.dev"
	ip   = "192.0.2.1"
	port = ip + ":8080"
)

// of is what is told of the container orders of a pod.
func (p *testProber) of(pod plan.Pod) plan.Probed { return p.Results(node)[pod.UID]["orders"] }

// expects checks what is told of a pod.
func (p *testProber) expects(pod plan.Pod, started, ready, dead bool) {
	p.t.Helper()
	is, there := p.Results(node)[pod.UID]["orders"]
	if !there || is.Started != started || is.Ready != ready || (is.Dead != "") != dead {
		p.t.Errorf("it is known: %t, %+v; want started=%t ready=%t dead=%t", there, is, started, ready, dead)
	}
}

// tcpProbe asks whether the port 8080 is open, every 10 s.
func tcpProbe() *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
		PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
}

// serving is a pod whose module orders serves since now, with changes to its container.
func serving(name string, change ...func(*corev1.Container)) plan.Pod {
	c := corev1.Container{Name: "orders"}
	for _, do := range change {
		do(&c)
	}
	started := false
	return plan.Pod{Pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{c}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "orders", Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		}}},
	}}
}

func withReadiness(c *corev1.Container) { c.ReadinessProbe = tcpProbe() }
func withLiveness(c *corev1.Container)  { c.LivenessProbe = tcpProbe() }
func withStartup(c *corev1.Container)   { c.StartupProbe = tcpProbe() }

func (p *testProber) sets(pods ...plan.Pod) { p.Set(node, ip, pods) }
