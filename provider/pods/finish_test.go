package pods

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/provider/plan"
)

// A pod is forgotten once the API has it no more. Where its deletion fails it stays, or
// its module's end would be told to nobody.
func TestAPodIsForgottenOnceItIsDeleted(t *testing.T) {
	gr := corev1.Resource("pods")
	for _, c := range []struct {
		name           string
		statusErr, err error
		gone           bool // from the API before
		stays          bool
	}{
		{name: "deleted"},
		{name: "gone before", gone: true},
		{name: "not found", err: apierrors.NewNotFound(gr, "one")},
		{name: "another pod of the name", err: apierrors.NewConflict(gr, "one", errors.New("the UID differs"))},
		{name: "the last status is not written", statusErr: errors.New("no")},
		{name: "the pod of the last status is not found", statusErr: apierrors.NewNotFound(gr, "one")},
		{name: "the API server fails", err: errors.New("no"), stays: true},
	} {
		pod := podOn("one", "a", "1")
		if c.statusErr != nil {
			pod.Finalizers = []string{"example.com/keep"} // or none is written
		}
		p, client := idle(true, pod)
		p.Serve("a", noon)
		p.store.put(pod, nil)
		client.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return c.err != nil, nil, c.err })
		client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			return c.statusErr != nil, nil, c.statusErr
		})
		p.Finish(t.Context(), plan.PodStatus{Pod: plan.Pod{Pod: pod, Gone: c.gone}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}, Finished: true})
		if stays := len(p.On("a")) > 0; stays != c.stays {
			t.Errorf("%s: it stays: %v, want %v", c.name, stays, c.stays)
		}
		_, err := client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
		if deleted := apierrors.IsNotFound(err); deleted != (c.err == nil && !c.gone) {
			t.Errorf("%s: deleted from the API: %v", c.name, deleted)
		}
	}
}

// A pod that nothing keeps gets no last status: nobody could read it, and in a burst of
// deletions each write is paid for by all.
func TestAPodThatNothingKeepsGetsNoLastStatus(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, client := served(t, pod)
	client.ClearActions()
	p.Finish(t.Context(), plan.PodStatus{Pod: plan.Pod{Pod: pod}, Status: corev1.PodStatus{Phase: corev1.PodFailed}, Finished: true})
	if did := client.Actions(); len(did) != 1 || did[0].GetVerb() != "delete" {
		t.Errorf("did %v", did)
	}
}

// A pod that finalizers keep is deleted once, whoever asked for it, and its last status is
// written: controllers take their finalizers off for that.
func TestAPodThatFinalizersKeepIsDeletedOnce(t *testing.T) {
	for name, gone := range map[string]func(*corev1.Pod){
		"deleted here": func(*corev1.Pod) {},
		"deleted at once by somebody": func(pod *corev1.Pod) {
			now, grace := metav1.Now(), int64(0)
			pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
		},
	} {
		pod := podOn("one", "a", "1")
		pod.Finalizers = []string{"example.com/keep"}
		gone(pod)
		p, client := served(t, pod)
		deletions, statuses := 0, 0
		client.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			deletions++
			if p.Writing("a") {
				t.Errorf("%s: another status is to be written after the last", name)
			}
			return true, nil, nil
		})
		client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { statuses++; return false, nil, nil })
		for range 3 {
			p.Write(t.Context(), pod, corev1.PodStatus{Phase: corev1.PodRunning}) // is not to come after the last
			p.Finish(t.Context(), plan.PodStatus{Pod: plan.Pod{Pod: pod}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}, Finished: true})
			p.On("a")
			ended, err := client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
			must(t, err)
			pod = ended
			must(t, p.facade.informer.GetIndexer().Update(pod))
		}
		if want := map[string]int{"deleted here": 1}[name]; deletions != want || statuses != 1 {
			t.Errorf("%s: %d deletions, want %d, and %d statuses", name, deletions, want, statuses)
		}
	}
}

// Nothing is deleted without the claim.
func TestNothingIsDeletedWithoutTheClaim(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, client := served(t, pod)
	p.hooks.MayWrite = func(string) bool { return false }
	p.Finish(t.Context(), plan.PodStatus{Pod: plan.Pod{Pod: pod}, Finished: true})
	if err := p.Evict(t.Context(), "a"); !errors.Is(err, errNotHeld) {
		t.Errorf("evicted: %v", err)
	}
	if err := p.Displace(t.Context(), pod); !errors.Is(err, errNotHeld) {
		t.Errorf("displaced: %v", err)
	}
	if _, err := client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{}); err != nil {
		t.Errorf("it was deleted: %v", err)
	}
}

// A pod that is displaced has the grace that it asks for, and no other of its name is deleted.
func TestADisplacedPodHasItsGrace(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, client := served(t, pod)
	client.ClearActions()
	must(t, p.Displace(t.Context(), pod))
	must(t, p.Displace(t.Context(), pod)) // it is gone
	for _, did := range client.Actions() {
		is, ok := did.(clienttesting.DeleteActionImpl)
		if opts := is.DeleteOptions; !ok || opts.GracePeriodSeconds != nil || opts.Preconditions == nil || *opts.Preconditions.UID != pod.UID {
			t.Errorf("did %+v", did)
		}
	}
	if n := len(client.Actions()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// readiness is a Meter that keeps what it observed.
type readiness struct {
	noMeter
	took []time.Duration
}

func (r *readiness) BoundToReady(d time.Duration) { r.took = append(r.took, d) }

// The time to readiness is observed once a pod, when it turns ready.
func TestTheTimeToReadinessIsObserved(t *testing.T) {
	at := func(kind corev1.PodConditionType, is corev1.ConditionStatus, after time.Duration) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: is, LastTransitionTime: metav1.NewTime(noon.Add(after))}
	}
	status := func(cs ...corev1.PodCondition) corev1.PodStatus { return corev1.PodStatus{Conditions: cs} }
	bound := at(corev1.PodScheduled, corev1.ConditionTrue, 0)
	ready := []corev1.PodCondition{bound, at(corev1.ContainersReady, corev1.ConditionTrue, 3*time.Second), at(corev1.PodReady, corev1.ConditionTrue, 4*time.Second)}
	for _, c := range []struct {
		name    string
		was, is corev1.PodStatus
		want    time.Duration // zero: it is not observed
	}{
		{"turns ready", status(bound), status(ready...), 4 * time.Second},
		{"was ready before", status(ready...), status(ready...), 0},
		{"is not ready", status(bound), status(bound, at(corev1.PodReady, corev1.ConditionFalse, time.Second)), 0},
		{"was not bound", status(), status(ready[1:]...), 0},
		{"was bound at an unknown time", status(), status(corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, ready[1], ready[2]), 0},
	} {
		p, _ := idle(true)
		meter := &readiness{}
		p.deps.Meter = meter
		pod := podOn("one", "a", "1")
		pod.Status = c.was
		p.Write(t.Context(), pod, c.is)
		var got time.Duration
		for _, d := range meter.took {
			got += d
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Nothing is begun that nobody would end.
func TestNothingIsWrittenOnceTheContextHasEnded(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, _ := idle(true, pod)
	p.Serve("a", noon)
	p.store.put(pod, nil)
	must(t, p.facade.informer.GetIndexer().Add(pod))
	ctx, end := context.WithCancel(t.Context())
	end()
	if p.Write(ctx, pod, corev1.PodStatus{Phase: corev1.PodRunning}); p.Writing("a") {
		t.Error("it is written")
	}
	if p.Write(t.Context(), pod, corev1.PodStatus{Phase: corev1.PodRunning}); !p.Writing("a") {
		t.Error("it is not written")
	}
}
