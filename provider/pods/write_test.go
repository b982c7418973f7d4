package pods

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/provider/plan"
)

// idle is a room that does not run, with an API server in memory.
func idle(mayWrite bool, objects ...runtime.Object) (*Pods, *fake.Clientset) {
	client := fake.NewClientset(objects...)
	return New(Deps{Client: client, Log: zap.NewNop()}, Hooks{
		Wake: func(string) {}, MayWrite: func(string) bool { return mayWrite }, Address: noAddress,
	}), client
}

// served is an idle room that serves Node a with one pod that was handed over.
func served(t *testing.T, pod *corev1.Pod) (*Pods, *fake.Clientset) {
	t.Helper()
	p, client := idle(true, pod)
	p.Serve("a", noon)
	must(t, p.facade.informer.GetIndexer().Add(pod))
	p.store.put(pod, pod.Spec.Containers)
	return p, client
}

func statusOf(name string) corev1.PodStatus { return corev1.PodStatus{Reason: name} }

// writeNow does the write of a pod that is pending.
func (p *Pods) writeNow(t *testing.T, pod *corev1.Pod) error {
	t.Helper()
	w, wait := p.store.pending(statusKey{pod.Spec.NodeName, pod.UID}, noon)
	if w == nil || wait > 0 {
		t.Fatal("nothing is to be written")
	}
	version, err := p.patchStatus(t.Context(), w)
	if err == nil || apierrors.IsNotFound(err) {
		p.store.wrote(w, version)
	}
	return err
}

// pendingNow is the write of pod 1 on Node a that is to be done; nil for none.
func (p *Pods) pendingNow() *write {
	w, _ := p.store.pending(statusKey{"a", "1"}, noon)
	return w
}

func TestAStatusThatMayNotBeWrittenNowStaysToBeWritten(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, _ := served(t, pod)
	p.hooks.MayWrite = func(string) bool { return false }
	p.Write(t.Context(), pod, statusOf("new"))
	if err := p.writeNow(t, pod); !errors.Is(err, errNotHeld) || !p.Writing("a") {
		t.Errorf("error %v, being written: %v", err, p.Writing("a"))
	}
	got, err := p.deps.Client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
	must(t, err)
	if got.Status.Reason != "" {
		t.Errorf("it was written: %s", got.Status.Reason)
	}
}

// What is gone is written no more, all else is tried again.
func TestErrorsOfAWrite(t *testing.T) {
	gr := corev1.Resource("pods")
	for _, c := range []struct {
		name string
		err  error
		ends bool
	}{
		{"another pod of that name", apierrors.NewConflict(gr, "one", errors.New("the UID differs")), true},
		{"the pod is gone", apierrors.NewNotFound(gr, "one"), true},
		{"the API server fails", apierrors.NewInternalError(errors.New("no")), false},
	} {
		pod := podOn("one", "a", "1")
		p, client := served(t, pod)
		client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
		p.Write(t.Context(), pod, statusOf("new"))
		err := p.writeNow(t, pod)
		if err == nil || p.Writing("a") == c.ends {
			t.Errorf("%s: error %v, being written: %v", c.name, err, p.Writing("a"))
		}
		// Until the cache shows its end it is not written again and again.
		if got := p.On("a")[0]; got.Status.Reason != "new" || got.Writing == c.ends {
			t.Errorf("%s: planned %+v", c.name, got)
		}
	}
}

// A write that hangs is given up.
func TestAWriteHasATimeout(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, client := served(t, pod)
	before, count := within(t, writeTimeout)
	p.deps.Client = hooked{client, before}
	p.Write(t.Context(), pod, statusOf("new"))
	must(t, p.writeNow(t, pod))
	must(t, p.delete(t.Context(), pod, atOnce))
	if *count != 2 {
		t.Errorf("%d writes", *count)
	}
}

// A status that was written is what the pod shows until the cache has caught up.
func TestWhatWasWrittenIsShown(t *testing.T) {
	pod := podOn("one", "a", "1")
	pod.ResourceVersion = "5"
	p, _ := served(t, pod)
	p.Write(t.Context(), pod, corev1.PodStatus{Phase: corev1.PodRunning})
	p.store.wrote(p.pendingNow(), "7")
	if got := p.On("a")[0]; got.Status.Phase != corev1.PodRunning || got.Writing {
		t.Errorf("planned %+v", got)
	}
	theirs := pod.DeepCopy()
	theirs.ResourceVersion = "6"
	theirs.Status.Conditions = []corev1.PodCondition{condition("example.com/gate", corev1.ConditionTrue, "")}
	must(t, p.facade.informer.GetIndexer().Update(theirs))
	if got := p.On("a")[0]; got.Status.Phase != corev1.PodRunning || len(got.Status.Conditions) != 1 {
		t.Errorf("the cache is older, and has more of others: %+v", got.Status)
	}
	later := pod.DeepCopy()
	later.ResourceVersion, later.Status.Phase = "8", corev1.PodPending
	must(t, p.facade.informer.GetIndexer().Update(later))
	if got := p.On("a")[0]; got.Status.Phase != corev1.PodPending {
		t.Errorf("status %+v, and the cache is newer", got.Status)
	}
}

// The cache is believed where versions cannot be compared.
func TestAVersionThatCannotBeComparedEndsAWrite(t *testing.T) {
	pod := podOn("one", "a", "1")
	pod.ResourceVersion = "5"
	p, _ := served(t, pod)
	p.Write(t.Context(), pod, statusOf("new"))
	p.store.wrote(p.pendingNow(), "x")
	if got := p.On("a")[0]; got.Status.Reason != "" || len(p.store.nodes["a"].writes) > 0 {
		t.Errorf("status %+v", got.Status)
	}
}

// The end of one write of a status is not that of the next, which waits for it.
func TestAStatusThatIsToBeWrittenIsWaitedFor(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, _ := served(t, pod)
	p.Write(t.Context(), pod, statusOf("first"))
	first := p.pendingNow()
	p.Write(t.Context(), pod, statusOf("second"))
	if p.store.wrote(first, "6"); !p.Writing("a") {
		t.Error("the second is not waited for")
	}
	if p.store.wrote(p.pendingNow(), "7"); p.Writing("a") {
		t.Error("it is waited for, though it is written")
	}
}

// A pod that somebody ended has ended: what was to be written is not, and nobody waits.
func TestAPodThatSomebodyEndedIsNotWritten(t *testing.T) {
	pod := podOn("one", "a", "1")
	pod.ResourceVersion = "5"
	p, _ := served(t, pod)
	p.Write(t.Context(), pod, corev1.PodStatus{Phase: corev1.PodRunning})
	ended := pod.DeepCopy()
	ended.ResourceVersion, ended.Status.Phase = "9", corev1.PodFailed
	must(t, p.facade.informer.GetIndexer().Update(ended))
	if p.Writing("a") {
		t.Error("it is waited for")
	}
	if w := p.pendingNow(); w != nil {
		t.Errorf("it is written: %+v", w.status)
	}
	if got := p.On("a")[0]; got.Status.Phase != corev1.PodFailed || got.Writing {
		t.Errorf("planned %+v", got)
	}
}

// What is ours to end is written.
func TestAPodIsEndedByItsStatus(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, _ := served(t, pod)
	p.Write(t.Context(), pod, corev1.PodStatus{Phase: corev1.PodFailed})
	must(t, p.writeNow(t, pod))
	got, err := p.deps.Client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
	must(t, err)
	if got.Status.Phase != corev1.PodFailed {
		t.Errorf("it shows %s", got.Status.Phase)
	}
}

// virtual-kubelet writes and deletes nothing.
func TestVirtualKubeletWritesNothing(t *testing.T) {
	pod := podOn("one", "a", "1")
	client := noWrites{}.Pods("default")
	if got, err := client.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil || got != pod {
		t.Errorf("a status: %v, %v", got, err)
	}
	must(t, client.Delete(t.Context(), "one", metav1.DeleteOptions{}))
}

// A base that has its pods show something else all the time has their statuses written at
// a rate, the last one in the end; others wait for none of it.
func TestStatusesOfABaseHaveARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t, podOn("one", "a", "1"), podOn("two", "b", "2"))
		r.Serve("b", time.Now())
		r.Show("b")
		r.passes(time.Second)
		writes := map[string]int{}
		r.client.PrependReactor("patch", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
			writes[a.(clienttesting.PatchAction).GetName()]++
			return false, nil, nil
		})
		const long = 100 * time.Second
		last := ""
		for n := range int(long / (10 * time.Millisecond)) {
			last = fmt.Sprint(n)
			r.Write(t.Context(), r.planned().Pod, statusOf(last))
			r.passes(10 * time.Millisecond)
		}
		if most := statusBurst + int(long/time.Second)*statusRate; writes["one"] > most+1 || writes["one"] < most-1 {
			t.Errorf("written %d times, want %d", writes["one"], most)
		}
		r.Write(t.Context(), r.On("b")[0].Pod, statusOf("other"))
		r.passes(time.Millisecond)
		if writes["two"] != 1 {
			t.Error("another base's pod waits")
		}
		r.passes(time.Second)
		if got := r.inAPI().Status.Reason; got != last {
			t.Errorf("it shows %s, want %s", got, last)
		}
	})
}

// What a write would have told or taken away is told and taken away by the one that replaces
// it: the pod is whole after one request.
func TestAWriteDoesWhatTheOneThatItReplacesWouldHave(t *testing.T) {
	pod := podOn("one", "a", "1")
	pod.Status.Conditions = []corev1.PodCondition{condition("base.koupleless.io/old", corev1.ConditionTrue, "")}
	p, client := served(t, pod)
	next := func(phase corev1.PodPhase, conditions ...corev1.PodCondition) {
		t.Helper()
		p.Write(t.Context(), p.On("a")[0].Pod, corev1.PodStatus{Phase: phase, Conditions: conditions})
	}
	scheduled := condition(corev1.PodScheduled, corev1.ConditionTrue, "")
	next(corev1.PodPending, scheduled, condition("base.koupleless.io/new", corev1.ConditionTrue, ""))
	if p.pendingNow() == nil {
		t.Fatal("nothing is to be written")
	}
	next(corev1.PodRunning, scheduled)
	client.ClearActions()
	must(t, p.writeNow(t, pod))
	got, err := client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
	must(t, err)
	if c := got.Status.Conditions; got.Status.Phase != corev1.PodRunning || len(c) != 1 || c[0].Type != corev1.PodScheduled {
		t.Errorf("after one request the pod is %s and has %v", got.Status.Phase, c)
	}
	if shown := p.On("a")[0].Status; shown.Phase != corev1.PodRunning || len(shown.Conditions) != 1 {
		t.Errorf("the planner sees %+v", shown)
	}
}

// What a pod that is being deleted waits for is written after a second: most are gone by
// then. What else changes meanwhile is written at once.
func TestWhatAPodThatLeavesWaitsForIsWrittenAfterAMoment(t *testing.T) {
	shows := func(ip, message string) corev1.PodStatus {
		return corev1.PodStatus{PodIP: ip, Message: message, ContainerStatuses: []corev1.ContainerStatus{{Name: "orders"}}}
	}
	leaving := func(t *testing.T) *room {
		t.Helper()
		pod, now := podOn("one", "a", "1"), metav1.Now()
		pod.DeletionTimestamp, pod.Finalizers, pod.Status = &now, []string{"example.com/keep"}, shows("10.0.0.1", "")
		return running(t, pod)
	}
	synctest.Test(t, func(t *testing.T) {
		r := leaving(t)
		for _, message := range []string{"sent", "sent twice"} {
			r.Write(t.Context(), r.planned().Pod, shows("10.0.0.1", message))
			r.passes(passingPause / 3)
			if got := r.inAPI().Status.Message; got != "" {
				t.Errorf("the API server has %q already", got)
			}
		}
		if r.passes(passingPause); r.inAPI().Status.Message != "sent twice" {
			t.Errorf("after a moment the API server has %q", r.inAPI().Status.Message)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := leaving(t)
		r.Write(t.Context(), r.planned().Pod, shows("10.0.0.1", "sent"))
		r.Write(t.Context(), r.planned().Pod, shows("", "sent"))
		r.passes(0)
		r.Write(t.Context(), r.planned().Pod, shows("", "sent again"))
		if got := r.inAPI().Status; got.PodIP != "" || got.Message != "sent" {
			t.Errorf("the API server has the address %q and %q", got.PodIP, got.Message)
		}
	})
}

// That a pod's modules begin to be installed is written after a second; what there is to
// tell by then is written instead, and at once.
func TestTheFirstStatusWaitsForMore(t *testing.T) {
	waits := func(reason string) corev1.PodStatus {
		return corev1.PodStatus{Reason: reason, ContainerStatuses: []corev1.ContainerStatus{{Name: "orders", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}}
	}
	serves := corev1.PodStatus{Reason: "serves", ContainerStatuses: []corev1.ContainerStatus{{Name: "orders", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
	creating, installing, failed := waits(plan.ReasonCreating), waits(plan.ReasonInstalling), waits(plan.ReasonInstallFailed)
	type step struct {
		status corev1.PodStatus
		after  time.Duration // passes then
		want   string        // the API server has then
	}
	const soon = 100 * time.Millisecond
	for name, steps := range map[string][]step{
		"it serves soon":            {{creating, soon, ""}, {installing, soon, ""}, {serves, 0, "serves"}},
		"it takes long":             {{creating, soon, ""}, {installing, passingPause, plan.ReasonInstalling}, {serves, 0, "serves"}},
		"it fails soon":             {{installing, soon, ""}, {failed, 0, plan.ReasonInstallFailed}},
		"it is no first status":     {{serves, 0, "serves"}, {installing, 0, plan.ReasonInstalling}},
		"others tell as much as it": {{statusOf("theirs"), 0, "theirs"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := running(t, podOn("one", "a", "1"))
			for _, s := range steps {
				r.Write(t.Context(), r.planned().Pod, s.status)
				r.passes(s.after)
				if got := r.inAPI().Status.Reason; got != s.want {
					t.Errorf("%s: after %s the API server has %q, want %q", name, s.status.Reason, got, s.want)
				}
			}
			r.passes(time.Minute)
			if got := r.inAPI().Status.Reason; got != steps[len(steps)-1].want {
				t.Errorf("%s: at last the API server has %q", name, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := running(t, podOn("one", "a", "1"))
		r.Write(t.Context(), r.planned().Pod, installing)
		r.Hurry("b")
		r.passes(0)
		if !r.Writing("a") {
			t.Fatal("nothing is being written")
		}
		r.apiFails.Store(true)
		writes := len(r.client.Actions())
		for range 100 {
			r.Hurry("a")
			r.passes(time.Millisecond)
		}
		if n := len(r.client.Actions()) - writes; n > 10 {
			t.Errorf("what fails is tried %d times in a tenth of a second", n)
		}
		r.apiFails.Store(false)
		r.passes(statusRetryMax)
		if r.Writing("a") || r.inAPI().Status.Reason != plan.ReasonInstalling {
			t.Errorf("somebody waits for it, and the API server has %q", r.inAPI().Status.Reason)
		}
	})
}

// The watch of pods is behind from when a status was written until the cache shows it.
func TestAStatusThatIsNotShownIsLag(t *testing.T) {
	pod := podOn("one", "a", "1")
	pod.ResourceVersion = "7"
	p, _ := served(t, pod)
	before := pod.DeepCopy()
	before.ResourceVersion = "5"
	must(t, p.facade.informer.GetIndexer().Update(before))
	p.Write(t.Context(), before, statusOf("new"))
	must(t, p.writeNow(t, before))
	if lag := p.Lag(time.Now().Add(time.Minute)); lag < time.Minute-time.Second {
		t.Errorf("the cache has not what was written a minute ago, and is %s behind", lag)
	}
	must(t, p.facade.informer.GetIndexer().Update(pod))
	if lag := p.Lag(time.Now().Add(time.Minute)); lag != 0 {
		t.Errorf("the cache has what was written, and is %s behind", lag)
	}
}
