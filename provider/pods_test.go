package provider

import (
	"testing"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
)

func newTestStore() (*podStore, cache.Indexer) {
	p := &Provider{bases: newRegistry(), shown: newFacade(newPodInformer(fake.NewClientset()))}
	p.pods = newPodStore(p)
	return p.pods, p.shown.informer.GetIndexer()
}

func (s *podStore) planned(t *testing.T, node string, complete bool) (names []string, pods map[string]plan.Pod) {
	t.Helper()
	list, whole := s.onNode(node)
	if whole != complete {
		t.Errorf("complete is %v, want %v", whole, complete)
	}
	pods = map[string]plan.Pod{}
	for _, p := range list {
		names, pods[p.Name] = append(names, p.Name), p
	}
	return names, pods
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
	if names, _ := s.planned(t, "a", false); len(names) > 0 {
		t.Errorf("%v is planned before it was handed over", names)
	}
	must(t, s.CreatePod(t.Context(), pod))
	if names, pods := s.planned(t, "a", true); len(names) != 1 || pods["one"].Leaving() {
		t.Errorf("planned %v", pods)
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
	if _, pods := s.planned(t, "a", true); !pods["one"].Leaving() || pods["one"].Gone {
		t.Errorf("planned %+v", pods)
	}
	must(t, index.Delete(pod))
	if _, pods := s.planned(t, "a", true); !pods["one"].Gone {
		t.Errorf("after a deletion by force %+v", pods)
	}
	s.drop(pod)
	if names, _ := s.planned(t, "a", true); len(names) > 0 {
		t.Errorf("%v is planned after its end", names)
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
	if names, _ := s.planned(t, "a", true); len(names) > 0 {
		t.Errorf("%v is planned on a Node that is served anew", names)
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
	list, complete := s.onNode("a")
	if len(list) != 2 || !complete {
		t.Fatalf("planned %v, complete %v", list, complete)
	}
	for _, p := range list {
		if p.Gone != (p.UID == first.UID) {
			t.Errorf("pod %s gone: %v", p.UID, p.Gone)
		}
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
	s.wrote("a", pod.UID, "7")
	if _, pods := s.planned(t, "a", true); pods["one"].Status.Phase != corev1.PodRunning {
		t.Errorf("status %+v", pods["one"].Status)
	}
	later := pod.DeepCopy()
	later.ResourceVersion, later.Status.Phase = "8", corev1.PodFailed
	must(t, index.Update(later))
	if _, pods := s.planned(t, "a", true); pods["one"].Status.Phase != corev1.PodFailed {
		t.Errorf("status %+v, and the cache is newer", pods["one"].Status)
	}
}
