package pods

import (
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
	f := newFacade(newInformer(fake.NewClientset()))
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
	s.put(pod, nil)
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
	s.put(pod, nil)
	s.forget("a")
	s.put(pod, nil)
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
	s.put(first, nil)
	must(t, index.Add(second))
	s.put(second, nil)
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

// What cannot be resolved stands in nobody's way: the pod says why, and waits no more once
// it is handed over, or forgotten with its Node.
func TestAPodThatCannotBeHandedOverSaysWhy(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	must(t, index.Add(pod))
	s.serve("a")
	fails := func(why string) { s.notHandedOver(keyOf(pod), why, noon) }
	refused := func() string { return s.planned("a")["one"].Unresolved }
	if fails("unsupported fieldPath"); refused() != "unsupported fieldPath" {
		t.Errorf("it says %q", refused())
	}
	s.forget("a")
	fails("unsupported fieldPath")
	s.serve("a")
	if pods := s.planned("a"); !pods["one"].Unsynced {
		t.Errorf("served anew: %+v", pods)
	}
	fails("no such Secret")
	if s.put(pod, nil); refused() != "" {
		t.Errorf("handed over, it says %q", refused())
	}
	if fails("no such Secret any more"); refused() != "" {
		t.Errorf("handed over before, it says %q", refused())
	}
	must(t, index.Delete(pod))
	s.on("a")
	if stays := s.nodes["a"].failures; len(stays) > 0 {
		t.Errorf("%v stays", stays)
	}
}

// What cannot be handed over is tried again less and less often, and told when it changes,
// once a minute at most.
func TestAFailedHandoverHasAPace(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	must(t, index.Add(pod))
	s.serve("a")
	for i, c := range []struct {
		after time.Duration
		why   string
		again time.Duration
		told  bool
	}{
		{0, "x", time.Second, true},
		{time.Second, "x", 2 * time.Second, false},
		{3 * time.Second, "y", 4 * time.Second, false},
		{7 * time.Second, "x", 8 * time.Second, false},
		{time.Minute, "x", 16 * time.Second, false},
		{time.Minute, "y", 30 * time.Second, true},
		{time.Hour, "y", 30 * time.Second, false},
		{time.Hour, "z", 30 * time.Second, true},
	} {
		again, tell := s.notHandedOver(keyOf(pod), c.why, noon.Add(c.after))
		if again != c.again || (tell != nil) != c.told {
			t.Errorf("%d: again in %s, told %v, want %s, %v", i, again, tell != nil, c.again, c.told)
		}
	}
	s.put(pod, nil)
	if again, tell := s.notHandedOver(keyOf(pod), "z", noon.Add(time.Hour)); again != time.Second || tell != nil && s.planned("a")["one"].Unresolved != "" {
		t.Errorf("after it was handed over: again in %s, %+v", again, s.planned("a"))
	}
}

// A pod is handed over anew for other images only.
func TestWhatWasHandedOverStays(t *testing.T) {
	s, index := newTestStore()
	pod := podOn("one", "a", "1")
	pod.Spec.Containers = []corev1.Container{{Name: "orders", Image: "file:///1.jar", EnvFrom: []corev1.EnvFromSource{fromSecret("s", "", false)}}}
	must(t, index.Add(pod))
	if !s.has(pod) {
		t.Error("its Node is not served, and it is to be handed over")
	}
	s.serve("a")
	if s.has(pod) {
		t.Error("it is not to be handed over")
	}
	s.put(pod, []corev1.Container{{Name: "orders", Image: "file:///1.jar", Env: []corev1.EnvVar{plainVar("A", "x")}}})
	changed := pod.DeepCopy()
	deadline := int64(9)
	changed.Spec.ActiveDeadlineSeconds, changed.Spec.Containers[0].Image = &deadline, "file:///2.jar"
	must(t, index.Update(changed))
	got := s.planned("a")["one"].Spec
	if c := got.Containers[0]; *got.ActiveDeadlineSeconds != 9 || c.Image != "file:///1.jar" || c.EnvFrom != nil || len(c.Env) != 1 || changed.Spec.Containers[0].EnvFrom == nil {
		t.Errorf("planned %+v", got)
	}
	if !s.has(pod) || s.has(changed) {
		t.Errorf("with the image before it is to be handed over: %v, with the new one: %v", !s.has(pod), !s.has(changed))
	}
}

// Whatever changes for the planner wakes the base on the Node, and nothing else does.
func TestWhatChangesWakesTheNode(t *testing.T) {
	pod, successor := podOn("one", "a", "1"), podOn("one", "b", "2")
	woken := map[string]bool{}
	s := newStore(newFacade(newInformer(fake.NewClientset())), func(node string) { woken[node] = true })
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
		{"not resolved", func() { s.notHandedOver(keyOf(pod), "no such Secret", noon) }, a},
		{"not resolved, still", func() { s.notHandedOver(keyOf(pod), "no such Secret", noon) }, nil},
		{"not a pod's key", func() { s.notHandedOver("a/b/c", "no", noon) }, nil},
		{"handed over", func() { s.put(pod, nil) }, a},
		{"nothing changed", func() { sees() }, nil},
		{"a gate of others", func() { sees(gate(corev1.ConditionTrue), version("6")) }, a},
		{"annotated", func() { sees(func(p *corev1.Pod) { p.Annotations = map[string]string{"x": "y"} }) }, a},
		{"written", func() { s.begin(pod, ours) }, nil},
		{"the write, before its end is known", func() {
			sees(version("7"), func(p *corev1.Pod) { p.Status = over(p.Status, ours) })
		}, nil},
		{"the end of the write", func() { w, _ := s.pending(statusKey{"a", "1"}, noon); s.wrote(w, "7") }, nil},
		{"a gate of others, while the write is shown", func() { sees(gate(corev1.ConditionFalse), version("8")) }, a},
		{"planned", func() { s.on("a") }, nil},
		{"overwritten by others", func() { sees(version("9"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }) }, a},
		{"to be written again", func() { s.begin(pod, ours) }, nil},
		{"ended by others meanwhile", func() { sees(version("10"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }) }, a},
		{"being deleted", func() { sees(func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }) }, a},
		{"another has its name, on a Node that is not shown", func() { s.facade.see(successor) }, a},
		{"a pod of no Node that is served", func() { s.put(podOn("two", "c", "3"), nil) }, nil},
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
	s.put(first, nil)
	must(t, index.Update(second))
	s.facade.see(second)
	if got := s.planned("a"); len(got) != 1 || !got["web-0"].Gone {
		t.Errorf("planned %+v", got)
	}
	if pod, _ := s.facade.get("default", "web-0"); pod != nil {
		t.Errorf("virtual-kubelet is shown %s", pod.UID)
	}
	s.drop(first)
	if got := s.planned("a"); len(got) > 0 {
		t.Errorf("planned %+v after its end", got)
	}
}

// virtual-kubelet knows no pod: it would compare what it knows, and delete at its start what
// it takes for dangling.
func TestVirtualKubeletKnowsNoPod(t *testing.T) {
	h := &handover{}
	if pods, err := h.GetPods(t.Context()); err != nil || len(pods) > 0 {
		t.Errorf("pods %v, %v", pods, err)
	}
	if _, err := h.GetPod(t.Context(), "default", "one"); !errdefs.IsNotFound(err) {
		t.Errorf("a pod: %v", err)
	}
	if _, err := h.GetPodStatus(t.Context(), "default", "one"); !errdefs.IsNotFound(err) {
		t.Errorf("a status: %v", err)
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
	s.put(declared, resolved.Spec.Containers)
	for _, is := range []string{"there", "gone"} {
		got := s.planned("a")["one"]
		if got.Spec.Containers[0].Env[0].Value != "s3cr3t" || got.Declared == nil || got.Declared.Containers[0].Env[0].ValueFrom == nil {
			t.Errorf("while it is %s: %+v, declared %+v", is, got.Spec, got.Declared)
		}
		must(t, index.Delete(declared))
	}
}
