package pods

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
)

func noAddress(string) string { return "" }

func newTestStore() (*store, cache.Indexer) {
	f := newFacade(newInformer(fake.NewClientset()), noAddress)
	return newStore(f, func(string) {}), f.informer.GetIndexer()
}

// shows has a store's facade show a Node to nobody.
func (s *store) shows(node string) {
	s.facade.handler = cache.ResourceEventHandlerFuncs{}
	s.facade.showNode(node)
}

// planned gives what the planner sees, by the pods' names.
func (s *store) planned(node string) map[string]plan.Pod {
	pods := map[string]plan.Pod{}
	for _, p := range s.on(node) {
		pods[p.Name] = p
	}
	return pods
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestThePlannerSeesAPodOnceItWasHandedOver(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	must(t, index.Add(pod))
	s.serve("a")
	if pods := s.planned("a"); !pods["one"].Unsynced {
		t.Errorf("before it was handed over: %+v", pods)
	}
	must(t, s.CreatePod(t.Context(), pod))
	if pods := s.planned("a"); len(pods) != 1 || pods["one"].Terminating() || pods["one"].Unsynced {
		t.Errorf("planned %+v", pods)
	}
}

// A pod whose deletion began under another owner is never handed over; the planner
// sees it all the same, and remembers it when the API has it no more.
func TestAPodThatIsBeingDeletedNeedsNoHandover(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	now := metav1.Now()
	pod.DeletionTimestamp = &now
	must(t, index.Add(pod))
	s.serve("a")
	if pods := s.planned("a"); !pods["one"].Terminating() || pods["one"].Gone {
		t.Errorf("planned %+v", pods)
	}
	must(t, index.Delete(pod))
	if pods := s.planned("a"); !pods["one"].Gone {
		t.Errorf("after a deletion by force %+v", pods)
	}
	s.drop(pod)
	if pods := s.planned("a"); len(pods) > 0 {
		t.Errorf("%v is planned after its end", pods)
	}
}

// What is on its way while a Node is let go comes too late: it must not be taken for
// the Node's when it is served again.
func TestALateHandoverIsForgotten(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	must(t, index.Add(pod))
	s.serve("a")
	must(t, s.CreatePod(t.Context(), pod))
	s.forget("a")
	must(t, s.CreatePod(t.Context(), pod))
	must(t, index.Delete(pod))
	s.serve("a")
	if pods := s.planned("a"); len(pods) > 0 {
		t.Errorf("%v is planned on a Node that is served anew", pods)
	}
}

// Another pod of the same name ends the first.
func TestAPodOfTheSameName(t *testing.T) {
	s, index := newTestStore()
	first, second := podOn("one", "a", "1"), podOn("one", "a", "2")
	s.serve("a")
	must(t, s.CreatePod(t.Context(), first))
	must(t, index.Add(second))
	must(t, s.UpdatePod(t.Context(), second))
	list := s.on("a")
	if len(list) != 2 {
		t.Fatalf("planned %v", list)
	}
	for _, p := range list {
		if p.Gone != (p.UID == first.UID) {
			t.Errorf("pod %s gone: %v", p.UID, p.Gone)
		}
	}
}

// virtual-kubelet hands nothing over that it takes for known.
func TestAPodThatAnotherOfItsNameWentBeforeIsNotKnown(t *testing.T) {
	s, index := newTestStore()
	first, second := podOn("one", "a", "1"), podOn("one", "a", "2")
	s.serve("a")
	s.shows("a")
	must(t, s.CreatePod(t.Context(), first))
	if pod, err := s.GetPod(t.Context(), first.Namespace, "one"); err != nil || pod.UID != first.UID {
		t.Errorf("the first is %v, %v", pod, err)
	}
	must(t, index.Add(second))
	s.facade.see(second)
	if pod, err := s.GetPod(t.Context(), first.Namespace, "one"); !errdefs.IsNotFound(err) {
		t.Errorf("the second is %v, %v", pod, err)
	}
}

// What virtual-kubelet cannot resolve stands in nobody's way: the pod says why, and
// waits no more once it is handed over, or forgotten with its Node.
func TestAPodThatCannotBeHandedOverSaysWhy(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	must(t, index.Add(pod))
	s.serve("a")
	s.shows("a")
	refused := func() string { return s.planned("a")["one"].Unresolved }
	_, err := (&Pods{store: s}).retryHandover(t.Context(), keyOf(pod), 1, time.Time{}, errors.New("unsupported fieldPath"))
	must(t, err)
	if why := refused(); why != "unsupported fieldPath" {
		t.Errorf("it says %q", why)
	}
	s.forget("a")
	s.serve("a")
	if pods := s.planned("a"); !pods["one"].Unsynced {
		t.Errorf("served anew: %+v", pods)
	}
	s.notHandedOver(keyOf(pod), errors.New("no such Secret"))
	must(t, s.CreatePod(t.Context(), pod))
	if why := refused(); why != "" {
		t.Errorf("handed over, it says %q", why)
	}
	s.notHandedOver(keyOf(pod), errors.New("no such Secret any more"))
	if why := refused(); why != "" {
		t.Errorf("handed over before, it says %q", why)
	}
	must(t, index.Delete(pod))
	s.drop(pod)
	if stays := s.nodes["a"].unresolved; len(stays) > 0 {
		t.Errorf("%v stays", stays)
	}
}

// Whatever changes for the planner wakes the base on the Node, and nothing else does.
func TestWhatChangesWakesTheNode(t *testing.T) {
	pod, successor := podOn("one", "a", "1"), podOn("one", "b", "2")
	woken := map[string]bool{}
	s := newStore(newFacade(newInformer(fake.NewClientset()), noAddress), func(node string) { woken[node] = true })
	index := s.facade.informer.GetIndexer()
	sees := func(change ...func(*corev1.Pod)) {
		pod = pod.DeepCopy()
		for _, c := range change {
			c(pod)
		}
		must(t, index.Update(pod))
		s.facade.see(pod)
	}
	gate := func(is corev1.ConditionStatus) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{condition("example.com/gate", is, "")}
		}
	}
	ours := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{condition(corev1.PodReady, corev1.ConditionTrue, "")}}
	version := func(v string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.ResourceVersion = v } }
	a := map[string]bool{"a": true}
	s.serve("a")
	s.shows("a")
	for _, c := range []struct {
		name string
		do   func()
		want map[string]bool
	}{
		{"served", func() { s.serve("b") }, nil},
		{"new", func() { sees() }, nil},
		{"not resolved", func() { s.cannotResolve(pod, "no such Secret") }, a},
		{"not resolved, still", func() { s.cannotResolve(pod, "no such Secret") }, nil},
		{"not a pod's key", func() { s.notHandedOver("a/b/c", errors.New("no")) }, nil},
		{"handed over", func() { must(t, s.CreatePod(t.Context(), pod)) }, a},
		{"nothing changed", func() { sees() }, nil},
		{"a gate of others", func() { sees(gate(corev1.ConditionTrue), version("6")) }, a},
		{"annotated", func() { sees(func(p *corev1.Pod) { p.Annotations = map[string]string{"x": "y"} }) }, a},
		{"written", func() { s.begin(pod, ours) }, nil},
		{"the write, before its end is known", func() {
			sees(version("7"), func(p *corev1.Pod) { p.Status = over(p.Status, ours) })
		}, nil},
		{"the end of the write", func() { s.wrote(s.pending(statusKey{"a", "1"}), "7") }, nil},
		{"a gate of others, while the write is shown", func() { sees(gate(corev1.ConditionFalse), version("8")) }, a},
		{"planned", func() { s.on("a") }, nil},
		{"overwritten by others", func() { sees(version("9"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }) }, a},
		{"to be written again", func() { s.begin(pod, ours) }, nil},
		{"ended by others meanwhile", func() { sees(version("10"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }) }, a},
		{"being deleted", func() { sees(func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }) }, a},
		{"another has its name, on a Node that is not shown", func() { s.facade.see(successor) }, a},
		{"a pod of no Node that is served", func() { must(t, s.CreatePod(t.Context(), podOn("two", "c", "3"))) }, nil},
		{"a new one that is being deleted", func() { s.shows("b"); successor.DeletionTimestamp = pod.DeletionTimestamp; s.facade.see(successor) }, map[string]bool{"b": true}},
		{"deleted", func() { s.facade.lose(successor) }, map[string]bool{"b": true}},
		{"dropped", func() { s.drop(pod) }, nil},
		{"forgotten", func() { s.forget("b") }, nil},
	} {
		clear(woken)
		if c.do(); !maps.Equal(woken, c.want) {
			t.Errorf("%s: woken %v, want %v", c.name, woken, c.want)
		}
	}
}

// A pod whose name another one took on a Node of somebody else is gone, although the watch
// never told of its end, and although what took its name is not handed over.
func TestAPodOfTheSameNameElsewhere(t *testing.T) {
	s, index := newTestStore()
	first, second := podOn("web-0", "a", "1"), podOn("web-0", "b", "2")
	must(t, index.Add(first))
	s.serve("a")
	s.shows("a")
	must(t, s.CreatePod(t.Context(), first))
	must(t, index.Update(second))
	s.facade.see(second)
	if got := s.planned("a"); len(got) != 1 || !got["web-0"].Gone {
		t.Errorf("planned %+v", got)
	}
	if pod := s.facade.get("default", "web-0"); pod != nil {
		t.Errorf("virtual-kubelet is shown %s", pod.UID)
	}
	s.drop(first)
	if got := s.planned("a"); len(got) > 0 {
		t.Errorf("planned %+v after its end", got)
	}
}

// virtual-kubelet deletes at its start what it takes for dangling.
func TestNothingIsKnownAtTheStart(t *testing.T) {
	s, _ := newTestStore()
	if pods, err := s.GetPods(t.Context()); err != nil || len(pods) > 0 {
		t.Errorf("pods %v, %v", pods, err)
	}
	if _, err := s.GetPodStatus(t.Context(), "default", "one"); !errdefs.IsNotFound(err) {
		t.Errorf("the status of a pod that is not known: %v", err)
	}
}

// What was declared tells which values are from Secrets. It is known of a pod that was
// handed over resolved, also when the API server has it no more.
func TestThePlannerSeesWhatAPodDeclares(t *testing.T) {
	s, index := newTestStore()
	declared := podOn("one", "a", "1")
	declared.Spec.Containers = []corev1.Container{{Name: "orders", Env: []corev1.EnvVar{{Name: "DB", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}}}}
	resolved := declared.DeepCopy()
	resolved.Spec.Containers[0].Env[0] = corev1.EnvVar{Name: "DB", Value: "s3cr3t"}
	must(t, index.Add(declared))
	s.serve("a")
	must(t, s.CreatePod(t.Context(), resolved))
	for _, is := range []string{"there", "gone"} {
		got := s.planned("a")["one"]
		if got.Spec.Containers[0].Env[0].Value != "s3cr3t" || got.Declared == nil || got.Declared.Containers[0].Env[0].ValueFrom == nil {
			t.Errorf("while it is %s: %+v, declared %+v", is, got.Spec, got.Declared)
		}
		must(t, index.Delete(declared))
	}
}
