package pods

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
)

// strictHandler is told what the pod controller would be told, and fails where
// that would panic: an update or a deletion of a pod that was not added.
type strictHandler struct {
	t  *testing.T
	mu sync.Mutex
	// mu guards what follows
	known map[string]types.UID
	seen  []string
}

func (h *strictHandler) note(what string, obj any, want bool) *corev1.Pod {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		h.t.Errorf("%s of a %T", what, obj)
		return &corev1.Pod{}
	}
	if uid, known := h.known[pod.Name]; known != want || known && uid != pod.UID {
		h.t.Errorf("%s of %s (%s): known %v as %s", what, pod.Name, pod.UID, known, uid)
	}
	h.seen = append(h.seen, what+" "+pod.Name)
	return pod
}

func (h *strictHandler) OnAdd(obj any, _ bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pod := h.note("add", obj, false)
	h.known[pod.Name] = pod.UID
}

func (h *strictHandler) OnUpdate(_, obj any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("update", obj, true)
}

func (h *strictHandler) OnDelete(obj any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pod := h.note("delete", obj, true)
	delete(h.known, pod.Name)
}

func (h *strictHandler) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen
	h.seen = nil
	return seen
}

func podOn(name, node, uid string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(uid), Labels: map[string]string{plan.LabelComponent: plan.ComponentModule}},
		Spec:       corev1.PodSpec{NodeName: node},
	}
}

func newTestFacade(t *testing.T) (*facade, *strictHandler, cache.Indexer) {
	t.Helper()
	f := newFacade(newInformer(fake.NewClientset()))
	h := &strictHandler{t: t, known: map[string]types.UID{}}
	if _, err := f.handle(h); err != nil {
		t.Fatal(err)
	}
	return f, h, f.informer.GetIndexer()
}

func TestFacadeShowsSomeNodesOnly(t *testing.T) {
	f, h, index := newTestFacade(t)
	one, two := podOn("one", "a", "1"), podOn("two", "b", "2")
	for _, pod := range []*corev1.Pod{one, two} {
		if err := index.Add(pod); err != nil {
			t.Fatal(err)
		}
		f.see(pod)
	}
	expect := func(want ...string) {
		t.Helper()
		if got := h.take(); !slices.Equal(got, want) {
			t.Errorf("handler saw %v, want %v", got, want)
		}
	}
	expect()
	f.showNode("a")
	f.showNode("a")
	expect("add one")
	f.see(one)
	f.see(two)
	expect() // it is the same
	one = one.DeepCopy()
	one.Spec.Containers = []corev1.Container{{Name: "orders", Image: "file:///new.jar"}}
	must(t, index.Update(one))
	f.see(one)
	expect("update one")
	if pods, _ := (podInformer{f}).Lister().List(labels.Everything()); len(pods) != 1 || pods[0].UID != one.UID {
		t.Errorf("listed %v, want one", pods)
	}
	if _, err := (podInformer{f}).Lister().Pods("default").Get("two"); err == nil {
		t.Error("a pod on a Node that is not shown was found")
	}
	f.hideNode("a")
	f.see(one)
	f.lose(one)
	expect("delete one")
	f.showNode("a")
	expect("add one")
}

func TestFacadeUnwrapsTombstonesAndNoticesRecreation(t *testing.T) {
	f, h, _ := newTestFacade(t)
	f.showNode("a")
	f.see(podOn("web-0", "a", "1"))
	f.see(podOn("web-0", "a", "2")) // deleted and made anew while the watch was away
	f.lose(cache.DeletedFinalStateUnknown{Key: "default/web-0", Obj: podOn("web-0", "a", "2")})
	f.lose(cache.DeletedFinalStateUnknown{Key: "default/gone", Obj: nil})
	want := []string{"add web-0", "delete web-0", "add web-0", "delete web-0"}
	if got := h.take(); !slices.Equal(got, want) {
		t.Errorf("handler saw %v, want %v", got, want)
	}
}

// virtual-kubelet hears of what concerns a handover, for it compares all of a pod each time.
func TestWhatConcernsAHandover(t *testing.T) {
	was := podOn("one", "a", "1")
	was.Spec.Containers = []corev1.Container{{Name: "orders", Image: "file:///old.jar"}}
	grace := int64(30)
	for _, c := range []struct {
		name   string
		change func(*corev1.Pod)
		want   bool
	}{
		{"nothing", func(*corev1.Pod) {}, false},
		{"the status", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }, false},
		{"a label", func(p *corev1.Pod) { p.Labels = map[string]string{"x": "y"} }, false},
		{"the deletion", func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }, true},
		{"the deadline", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = &grace }, false},
		{"an image", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "file:///new.jar" }, true},
	} {
		is := was.DeepCopy()
		if c.change(is); concernsHandover(was, is) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

// Showing and hiding race with events without ever breaking the handler's order.
func TestFacadeKeepsOrderUnderRaces(t *testing.T) {
	f, h, index := newTestFacade(t)
	var wg sync.WaitGroup
	for n := range 4 {
		node := fmt.Sprintf("n%d", n)
		wg.Go(func() {
			for i := range 200 {
				pod := podOn(fmt.Sprintf("p%d", n), node, fmt.Sprint(i/20))
				if i%20 == 19 {
					_ = index.Delete(pod)
					f.lose(pod)
					continue
				}
				_ = index.Add(pod)
				f.see(pod)
			}
		})
		wg.Go(func() {
			for range 200 {
				f.showNode(node)
				f.hideNode(node)
			}
		})
	}
	wg.Wait()
	if len(f.shown) != 0 || len(f.nodes) != 0 || len(h.known) != 0 {
		t.Errorf("all hidden, but shown %d on %d, known %d", len(f.shown), len(f.nodes), len(h.known))
	}
}
