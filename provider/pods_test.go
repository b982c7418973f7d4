package provider

import (
	"errors"
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

func newTestStore() (*podStore, cache.Indexer) {
	p := &Provider{bases: newRegistry(), shown: newFacade(newPodInformer(fake.NewClientset()), noAddress)}
	p.pods = newPodStore(p)
	return p.pods, p.shown.informer.GetIndexer()
}

// planned gives what the planner sees, by the pods' names.
func (s *podStore) planned(node string) map[string]plan.Pod {
	pods := map[string]plan.Pod{}
	for _, p := range s.onNode(node) {
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
	pod := facadePod("one", "a", "1")
	must(t, index.Add(pod))
	s.serveNode("a")
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
	pod := facadePod("one", "a", "1")
	now := metav1.Now()
	pod.DeletionTimestamp = &now
	must(t, index.Add(pod))
	s.serveNode("a")
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
	pod := facadePod("one", "a", "1")
	must(t, index.Add(pod))
	s.serveNode("a")
	must(t, s.CreatePod(t.Context(), pod))
	s.forgetNode("a")
	must(t, s.CreatePod(t.Context(), pod))
	if err := s.DeletePod(t.Context(), pod); !errdefs.IsNotFound(err) {
		t.Errorf("deleted: %v", err)
	}
	must(t, index.Delete(pod))
	s.serveNode("a")
	if pods := s.planned("a"); len(pods) > 0 {
		t.Errorf("%v is planned on a Node that is served anew", pods)
	}
}

// Another pod of the same name ends the first.
func TestAPodOfTheSameName(t *testing.T) {
	s, index := newTestStore()
	first, second := facadePod("one", "a", "1"), facadePod("one", "a", "2")
	s.serveNode("a")
	must(t, s.CreatePod(t.Context(), first))
	must(t, index.Add(second))
	must(t, s.UpdatePod(t.Context(), second))
	list := s.onNode("a")
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
	first, second := facadePod("one", "a", "1"), facadePod("one", "a", "2")
	s.serveNode("a")
	s.provider.shown.handler = cache.ResourceEventHandlerFuncs{}
	s.provider.shown.claim("a")
	must(t, s.CreatePod(t.Context(), first))
	if pod, err := s.GetPod(t.Context(), first.Namespace, "one"); err != nil || pod.UID != first.UID {
		t.Errorf("the first is %v, %v", pod, err)
	}
	must(t, index.Add(second))
	s.provider.shown.see(second)
	if pod, err := s.GetPod(t.Context(), first.Namespace, "one"); !errdefs.IsNotFound(err) {
		t.Errorf("the second is %v, %v", pod, err)
	}
}

// What virtual-kubelet cannot resolve stands in nobody's way: the pod says why, and
// waits no more once it is handed over, or forgotten with its Node.
func TestAPodThatCannotBeHandedOverSaysWhy(t *testing.T) {
	s, index := newTestStore()
	pod := facadePod("one", "a", "1")
	must(t, index.Add(pod))
	s.serveNode("a")
	s.provider.shown.handler = cache.ResourceEventHandlerFuncs{}
	s.provider.shown.claim("a")
	refused := func() string { return s.planned("a")["one"].Unresolved }
	_, err := s.provider.retryHandover(t.Context(), keyOf(pod), 1, time.Time{}, errors.New("unsupported fieldPath"))
	must(t, err)
	if why := refused(); why != "unsupported fieldPath" {
		t.Errorf("it says %q", why)
	}
	s.forgetNode("a")
	s.serveNode("a")
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
	s.dropLocked("a", pod.UID)
	if len(s.unresolved["a"]) > 0 {
		t.Errorf("%v stays", s.unresolved)
	}
}

// A status that was written is what the pod shows until the cache has caught up.
func TestWhatWasWrittenIsShown(t *testing.T) {
	s, index := newTestStore()
	pod := facadePod("one", "a", "1")
	pod.ResourceVersion = "5"
	must(t, index.Add(pod))
	s.serveNode("a")
	must(t, s.CreatePod(t.Context(), pod))
	s.write(pod, corev1.PodStatus{Phase: corev1.PodRunning})
	s.wrote("a", pod.UID, s.toWrite("a", pod.UID), "7")
	if pods := s.planned("a"); pods["one"].Status.Phase != corev1.PodRunning {
		t.Errorf("status %+v", pods["one"].Status)
	}
	later := pod.DeepCopy()
	later.ResourceVersion, later.Status.Phase = "8", corev1.PodFailed
	must(t, index.Update(later))
	if pods := s.planned("a"); pods["one"].Status.Phase != corev1.PodFailed {
		t.Errorf("status %+v, and the cache is newer", pods["one"].Status)
	}
}
