package pods

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// failing is virtual-kubelet's pod controller at the worst moment: it notes that a pod
// was not handed over, with its queue locked, while an event of the pod waits for the
// queue.
type failing struct {
	store *store
	key   string
}

func (h failing) OnAdd(any, bool)   {}
func (h failing) OnDelete(any)      {}
func (h failing) OnUpdate(any, any) { h.store.notHandedOver(h.key, "no such Secret", noon) }

// A pod that cannot be handed over is noted while events of pods are delivered: the two
// wait for each other otherwise, for ever, and with them all pods of the replica.
func TestAFailedHandoverWaitsForNoEvent(t *testing.T) {
	s, indexer := newTestStore()
	pod := podOn("a", "n", "1")
	must(t, indexer.Add(pod))
	s.serve("n")
	s.shows("n")
	s.facade.handler = failing{s, keyOf(pod)}
	pod = pod.DeepCopy()
	pod.Spec.Containers = []corev1.Container{{Name: "orders", Image: "file:///new.jar"}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.facade.see(pod)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the event and the failure wait for each other")
	}
	if got := s.planned("n")["a"]; got.Unresolved != "no such Secret" {
		t.Errorf("planned %+v", got)
	}
}
