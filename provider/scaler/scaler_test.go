package scaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	_ "module-controller/internal/oneproc" // tests in bubbles
	"module-controller/provider/plan"
	"module-controller/provider/scaling"
	"module-controller/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is VNodes in memory.
type fleet struct {
	known chan struct{}

	mu      sync.Mutex // mu guards what follows
	nodes   map[string]*corev1.Node
	pods    map[string][]*corev1.Pod
	changed []func(was, is *corev1.Node)
}

func (f *fleet) Known() <-chan struct{} { return f.known }

func (f *fleet) All() []*corev1.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.nodes))
}

func (f *fleet) PodsOn(node string) []*corev1.Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pods[node]
}

func (f *fleet) Follow(changed func(was, is *corev1.Node)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = append(f.changed, changed)
	return nil
}

// set makes a Node be as given; nil for none.
func (f *fleet) set(name string, is *corev1.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.nodes[name]
	f.nodes[name] = is
	if is == nil {
		delete(f.nodes, name)
	}
	for _, changed := range f.changed {
		changed(was, is)
	}
}

func base(name string, ready corev1.ConditionStatus, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{plan.LabelEnv: "dev"}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	for _, c := range change {
		c(n)
	}
	return n
}

func (f *fleet) join(names ...string) {
	for _, name := range names {
		f.set(name, base(name, corev1.ConditionTrue))
	}
}

// world is one Scaler, and what there is around it.
type world struct {
	*fleet
	*Scaler
	t      *testing.T
	api    *fake.Clientset
	events *record.FakeRecorder
	logs   *observer.ObservedLogs

	mu sync.Mutex // mu guards what follows
	// leads is whether it leads, fault what the API server says of a scaling, nil for nothing.
	leads   bool
	fault   error
	version int
	writes  int
	scaled  map[string]int // by direction
	wrote   map[bool]int   // by whether it failed
}

func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	w := &world{
		t: t, fleet: &fleet{known: make(chan struct{}), nodes: map[string]*corev1.Node{}, pods: map[string][]*corev1.Pod{}},
		api: fake.NewClientset(objects...), events: record.NewFakeRecorder(100), logs: logs, leads: true, scaled: map[string]int{}, wrote: map[bool]int{},
	}
	w.api.PrependReactor("update", "deployments", w.update)
	var err error
	w.Scaler, err = New(scaling.Config{}, Deps{
		Client: w.api, VNodes: w.fleet, Leads: w.mayLead, Recorder: w.events, Meter: w, Log: zap.New(core),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.queue.ShutDown) // where it does not run
	return w
}

// runs runs it until the test ends; all Nodes are known.
func (w *world) runs() *world {
	ctx, end := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { end(); running.Wait() })
	close(w.known)
	synctest.Wait()
	return w
}

func (w *world) mayLead(string, string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leads
}

func (w *world) PeersScaled(direction string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scaled[direction]++
}

func (w *world) Wrote(object string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if object == "scale" {
		w.wrote[err != nil]++
	}
}

// update is what the API server does with a scaling: it refuses one that was decided for
// another Deployment than there is now.
func (w *world) update(a k8stesting.Action) (bool, runtime.Object, error) {
	if a.GetSubresource() != "scale" {
		return false, nil, nil
	}
	w.mu.Lock()
	w.writes++
	fault := w.fault
	w.mu.Unlock()
	scale := a.(k8stesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
	obj, err := w.api.Tracker().Get(appsv1.SchemeGroupVersion.WithResource("deployments"), a.GetNamespace(), scale.Name)
	d, _ := obj.(*appsv1.Deployment)
	switch {
	case fault != nil:
		return true, nil, fault
	case err != nil:
		return true, nil, err
	case d.ResourceVersion != scale.ResourceVersion:
		return true, nil, apierrors.NewConflict(a.GetResource().GroupResource(), scale.Name, errors.New("it has changed"))
	}
	d = d.DeepCopy()
	d.Spec.Replicas = &scale.Spec.Replicas
	w.put(d)
	return true, scale, nil
}

// put makes a Deployment be as given, another version of it.
func (w *world) put(d *appsv1.Deployment) {
	w.mu.Lock()
	w.version++
	d.ResourceVersion = strconv.Itoa(w.version)
	w.mu.Unlock()
	d.Generation++
	resource := appsv1.SchemeGroupVersion.WithResource("deployments")
	err := w.api.Tracker().Update(resource, d, d.Namespace)
	if apierrors.IsNotFound(err) {
		err = w.api.Tracker().Create(resource, d, d.Namespace)
	}
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) passes(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wants fails the test unless a Deployment has so many replicas.
func (w *world) wants(replicas int) {
	w.t.Helper()
	obj, err := w.api.Tracker().Get(appsv1.SchemeGroupVersion.WithResource("deployments"), "shop", "orders")
	if err != nil {
		w.t.Fatal(err)
	}
	if got := int(*obj.(*appsv1.Deployment).Spec.Replicas); got != replicas {
		w.t.Errorf("%d replicas, want %d", got, replicas)
	}
}

// orders is a peer Deployment with so many replicas.
func orders(replicas int32, labels map[string]string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "orders", Labels: map[string]string{
		plan.LabelComponent: scaling.ComponentDeployment, scaling.LabelStrategy: scaling.StrategyPeer,
	}}}
	maps.Copy(d.Labels, labels)
	d.Spec = appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "orders"}}}
	return d
}

func podOf(app string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: app, Labels: map[string]string{"app": app}}}
}

// told gives the Events since it was asked last.
func (w *world) told() (all []string) {
	for {
		select {
		case e := <-w.events.Events:
			all = append(all, e)
		default:
			return all
		}
	}
}

// The whole way: bases that join together are one change, one that leaves is followed once it
// stays away, and each change is told.
func TestReplicasFollowTheBases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(orders(1, nil))
		w.runs()
		w.join("a", "b", "c")
		w.passes(5 * time.Second)
		w.wants(3)
		w.set("b", base("b", corev1.ConditionFalse))
		w.passes(110 * time.Second)
		w.wants(3)
		w.passes(15 * time.Second)
		w.wants(2)
		w.set("c", nil)
		w.passes(130 * time.Second)
		w.wants(1)
		told := w.told()
		if len(told) != 3 || !strings.Contains(told[0], "Normal ReplicasFollowBases scaled from 1 to 3") || !strings.Contains(told[1], "scaled from 3 to 2: in the last 2m0s") {
			t.Errorf("told: %q", told)
		}
		if w.writes != 3 || w.scaled["up"] != 1 || w.scaled["down"] != 2 || w.wrote[false] != 3 || w.wrote[true] != 0 {
			t.Errorf("%d writes; counted %v, %v", w.writes, w.scaled, w.wrote)
		}
	})
}

// A base that flaps, and another leader, move nothing.
func TestAFlapAndAFailoverMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(orders(2, nil))
		w.join("a", "b")
		w.runs()
		for range 20 {
			w.set("b", base("b", corev1.ConditionUnknown))
			w.passes(40 * time.Second)
			w.set("b", base("b", corev1.ConditionTrue))
			w.passes(20 * time.Second)
		}
		w.wants(2)
		w.set("b", base("b", corev1.ConditionUnknown))
		w.passes(100 * time.Second)
		w.lead(false)
		w.passes(10 * time.Second)
		w.lead(true) // who has not seen it leave waits anew
		w.passes(100 * time.Second)
		w.wants(2)
		w.passes(30 * time.Second)
		w.wants(1)
	})
}

func (w *world) lead(leads bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leads = leads
}

func (w *world) refuses(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = err
}

// Who leads no Deployment, those whose replicas are others' to set, and those that are no
// peers, are let alone; one that becomes ours is scaled.
func TestOthersAreLetAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := orders(5, map[string]string{scaling.LabelReplicasControl: "true"})
		w.put(d)
		w.join("a", "b", "c", "d", "e", "f")
		w.runs()
		w.passes(time.Minute)
		w.wants(5)
		w.lead(false)
		d = d.DeepCopy()
		delete(d.Labels, scaling.LabelReplicasControl)
		w.put(d)
		w.passes(time.Minute)
		w.wants(5)
		w.lead(true)
		w.passes(10 * time.Second)
		w.wants(6)
		if w.writes != 1 {
			t.Errorf("%d writes", w.writes)
		}
	})
}

// Before all Nodes and pods are known nothing is decided.
func TestNothingIsScaledBeforeAllIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(orders(5, nil))
		w.join("a")
		ctx, end := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		w.passes(time.Hour)
		w.wants(5)
		close(w.known)
		w.passes(119 * time.Second)
		w.wants(5)
		w.passes(5 * time.Second)
		w.wants(1)
		end()
		running.Wait()
	})
}

// A base that is cordoned counts while it has a pod, and not when the pod has left.
func TestACordonedBaseCountsForItsPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(orders(2, nil))
		w.join("a", "b")
		w.pods["b"] = []*corev1.Pod{podOf("stock"), podOf("orders")}
		w.runs()
		w.set("b", base("b", corev1.ConditionTrue, func(n *corev1.Node) { n.Spec.Unschedulable = true }))
		w.passes(10 * time.Minute)
		w.wants(2)
		w.fleet.mu.Lock()
		w.pods["b"] = []*corev1.Pod{podOf("stock")}
		w.fleet.mu.Unlock()
		w.passes(130 * time.Second)
		w.wants(1)
	})
}

// What others changed meanwhile is not overwritten, and the count is made again for it.
func TestAChangeByOthersIsNotOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(orders(1, nil))
		w.join("a", "b")
		w.runs()
		w.refuses(apierrors.NewConflict(appsv1.Resource("deployments"), "orders", errors.New("it has changed")))
		w.passes(4 * time.Second)
		w.wants(1)
		w.refuses(nil)
		w.passes(5 * time.Second)
		w.wants(2)
		if told := w.told(); len(told) != 1 || w.logs.FilterLevelExact(zap.WarnLevel).Len() > 0 {
			t.Errorf("told: %q, %v", told, w.logs.All())
		}
	})
}

// A scaling that is refused is told on the Deployment and in the log, and tried again; while
// this replica may not write nothing is told.
func TestAScalingThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(orders(1, nil))
		w.join("a", "b")
		w.refuses(fmt.Errorf("PUT: %w", tunnel.ErrShut))
		w.runs()
		w.passes(10 * time.Second)
		if told := w.told(); len(told) != 0 {
			t.Errorf("told while nothing may be written: %q", told)
		}
		w.refuses(apierrors.NewForbidden(appsv1.Resource("deployments/scale"), "orders", errors.New("no")))
		w.passes(time.Minute)
		told := w.told()
		if len(told) == 0 || !strings.HasPrefix(told[0], "Warning ReplicasNotScaled cannot scale from 1 to 2") || w.logs.FilterLevelExact(zap.WarnLevel).Len() == 0 {
			t.Errorf("told: %q, %v", told, w.logs.All())
		}
		w.refuses(nil)
		w.passes(time.Minute)
		w.wants(2)
	})
}

// An affinity that cannot be read is told, and nothing is scaled for it.
func TestAnAffinityThatCannotBeReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := orders(3, nil)
		d.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: "Is", Values: []string{"a"}}}}},
		}}}
		w.put(d)
		w.join("a")
		w.runs()
		w.passes(5 * time.Minute)
		w.wants(3)
		if w.logs.FilterMessageSnippet("cannot count the bases").Len() == 0 {
			t.Errorf("the log has %v", w.logs.All())
		}
	})
}

// Without the right to watch Deployments the log says what to apply.
func TestWithoutTheRightTheLogSaysWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		deny := func(k8stesting.Action) error {
			return apierrors.NewForbidden(appsv1.Resource("deployments"), "", errors.New("no"))
		}
		w.api.PrependReactor("list", "deployments", func(a k8stesting.Action) (bool, runtime.Object, error) { return true, nil, deny(a) })
		w.runs()
		w.passes(time.Minute)
		if w.logs.FilterMessageSnippet("apply manifests/peer-deployments").Len() == 0 {
			t.Errorf("the log has %v", w.logs.All())
		}
	})
}

// Of a Node only what decides which pods may run there has Deployments looked at.
func TestWhatOfANodeCounts(t *testing.T) {
	w := newWorld(t)
	quiet := func(n *corev1.Node) {
		n.Annotations, n.Status.Conditions[0].Reason = map[string]string{"a": "b"}, "BaseAlive"
		n.Status.Capacity = corev1.ResourceList{}
	}
	for name, c := range map[string]struct {
		is    *corev1.Node
		looks bool
	}{
		"its capacity": {base("a", corev1.ConditionTrue, quiet), false},
		"readiness":    {base("a", corev1.ConditionFalse), true},
		"a label":      {base("a", corev1.ConditionTrue, func(n *corev1.Node) { n.Labels["zone"] = "b" }), true},
		"a cordon":     {base("a", corev1.ConditionTrue, func(n *corev1.Node) { n.Spec.Unschedulable = true }), true},
		"its deletion": {base("a", corev1.ConditionTrue, func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), true},
		"its end":      {nil, true},
	} {
		before := w.Scaler.nodes.Load()
		w.nodeChanged(base("a", corev1.ConditionTrue), c.is)
		if looks := w.Scaler.nodes.Load() != before; looks != c.looks {
			t.Errorf("%s: looked at: %t, want %t", name, looks, c.looks)
		}
	}
}

func TestWrongTimesAreRefused(t *testing.T) {
	if _, err := New(scaling.Config{After: time.Nanosecond}, Deps{Client: fake.NewClientset(), VNodes: &fleet{}, Log: zap.NewNop()}); err == nil {
		t.Error("they are not")
	}
}
