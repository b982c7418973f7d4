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
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
)

// stranger is a pod that was bound to a Node without the label of modules.
func stranger(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := podOn(name, node, "uid of "+name)
	pod.Labels, pod.ResourceVersion = map[string]string{"app": "cni"}, "5"
	pod.Status.Phase = corev1.PodPending
	for _, c := range change {
		c(pod)
	}
	return pod
}

func deleted(pod *corev1.Pod) {
	now, grace := metav1.Now(), int64(30)
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
}

// What is done about a pod that is no module follows from what it is, and from whose its
// Node is.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name    string
		pod     *corev1.Pod
		refuses bool
		err     error // of the deletion
		told    bool
		leaves  bool
		fails   bool
	}{
		{name: "a stranger", pod: stranger("one", "a"), told: true},
		{name: "one with another component", pod: stranger("one", "a", func(p *corev1.Pod) { p.Labels["virtual-kubelet.koupleless.io/component"] = "vnode" }), told: true},
		{name: "one that is being deleted", pod: stranger("one", "a", deleted), leaves: true},
		{name: "one that is gone by now", pod: stranger("one", "a", deleted), err: apierrors.NewNotFound(corev1.Resource("pods"), "one")},
		{name: "one that was changed meanwhile", pod: stranger("one", "a", deleted), err: apierrors.NewConflict(corev1.Resource("pods"), "one", errors.New("the version differs"))},
		{name: "one that cannot be deleted", pod: stranger("one", "a", deleted), err: errors.New("no"), fails: true},
		{name: "one that finalizers keep", pod: stranger("one", "a", deleted, func(p *corev1.Pod) { *p.DeletionGracePeriodSeconds, p.Finalizers = 0, []string{"x"} })},
		{name: "a module", pod: podOn("one", "a", "1")},
		{name: "on no Node", pod: stranger("one", "", deleted)},
		{name: "on a Node that is not served", pod: stranger("one", "b", deleted)},
		{name: "on a Node whose claim is not held now", pod: stranger("one", "a", deleted), refuses: true, fails: true},
		{name: "one to be told, without the claim", pod: stranger("one", "a"), refuses: true, fails: true},
		{name: "a mirror pod", pod: stranger("one", "a", deleted, func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })},
		{name: "one that somebody runs", pod: stranger("one", "a", deleted, func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })},
		{name: "one that has ended", pod: stranger("one", "a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })},
	} {
		client := fake.NewClientset(c.pod)
		client.PrependReactor("delete", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
			opts := a.(clienttesting.DeleteActionImpl).DeleteOptions
			if *opts.GracePeriodSeconds != 0 || *opts.Preconditions.UID != c.pod.UID || *opts.Preconditions.ResourceVersion != c.pod.ResourceVersion {
				t.Errorf("%s: it is deleted with %+v", c.name, opts)
			}
			return c.err != nil, nil, c.err
		})
		before, _ := within(t, writeTimeout)
		events := record.NewFakeRecorder(10)
		s := newStrangers(Deps{Client: hooked{client, before}, Recorder: events, Meter: noMeter{}, Log: zap.NewNop()},
			func(string) bool { return !c.refuses }, func(node string) bool { return node != "b" })
		obj, err := outline(c.pod.DeepCopy())
		must(t, err)
		for range 2 {
			if _, err := s.treat(t.Context(), obj.(*corev1.Pod), noon); (err != nil) != c.fails {
				t.Errorf("%s: error %v", c.name, err)
			}
		}
		want := 0
		if c.told {
			want = 1
		}
		if len(events.Events) != want {
			t.Errorf("%s: %d Events", c.name, len(events.Events))
		}
		_, err = client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
		if left := apierrors.IsNotFound(err); left != c.leaves {
			t.Errorf("%s: it left: %v", c.name, left)
		}
	}
}

// A DaemonSet that tolerates everything is told at a rate, each pod once.
func TestStrangersAreToldAtARate(t *testing.T) {
	events := record.NewFakeRecorder(100)
	s := newStrangers(Deps{Client: fake.NewClientset(), Recorder: events}, nil, nil)
	waits := map[string]time.Duration{}
	for i := range 4 * tellRate {
		name := fmt.Sprint(i)
		if wait := s.tell(stranger(name, "a"), noon); wait > 0 {
			waits[name] = wait
		}
	}
	if told := len(events.Events); told != tellRate || len(waits) != 3*tellRate {
		t.Errorf("%d told at once, %d wait", told, len(waits))
	}
	for name, wait := range waits {
		if wait > 3*time.Second {
			t.Errorf("%s waits %s", name, wait)
		}
		for range 2 {
			if again := s.tell(stranger(name, "a"), noon.Add(wait)); again > 0 {
				t.Errorf("%s waits %s more", name, again)
			}
		}
	}
	if told := len(events.Events); told != 4*tellRate {
		t.Errorf("%d told", told)
	}
	s.lose(stranger("0", "a"))
	if _, known := s.told["uid of 0"]; known || len(s.told) != 4*tellRate-1 {
		t.Error("it is remembered after its end")
	}
}

// A pod that is no module is told of once, is written no status, and leaves as soon as it is
// deleted; on a Node that is served later as soon as that is.
func TestAStrangerLeavesOnceItIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t, stranger("cni", "a"), stranger("late", "b", deleted), podOn("one", "a", "1"))
		event := fmt.Sprintf("Warning %s %s", ReasonNotAModule, messageNotAModule)
		r.passes(5 * time.Second)
		if got := <-r.events; got != event || len(r.events) > 0 {
			t.Errorf("told %q, and %d more", got, len(r.events))
		}
		pods := r.client.CoreV1().Pods("default")
		cni, err := pods.Get(t.Context(), "cni", metav1.GetOptions{})
		must(t, err)
		if len(cni.Status.Conditions) > 0 {
			t.Errorf("its status was written: %+v", cni.Status)
		}
		deleted(cni)
		_, err = pods.Update(t.Context(), cni, metav1.UpdateOptions{})
		must(t, err)
		r.passes(time.Second)
		left := func(name string) bool {
			_, err := pods.Get(t.Context(), name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}
		if !left("cni") || left("late") || left("one") {
			t.Errorf("deleted, it left: %v; on a Node of others one left: %v; a module left: %v", left("cni"), left("late"), left("one"))
		}
		r.Serve("b", time.Now())
		r.passes(time.Second)
		if !left("late") {
			t.Error("its Node is served, and it is there")
		}
	})
}

// The watch costs what is bound and Pending, whoever's it is, and no more.
func TestWhatIsWatchedOfStrangers(t *testing.T) {
	client := fake.NewClientset()
	var got clienttesting.ListRestrictions
	client.PrependReactor("list", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		got = a.(clienttesting.ListAction).GetListRestrictions()
		return false, nil, nil
	})
	synctest.Test(t, func(t *testing.T) {
		s := strangerInformer(client)
		stop := make(chan struct{})
		go s.Run(stop)
		synctest.Wait()
		close(stop)
		synctest.Wait()
	})
	for _, c := range []struct {
		label, node, phase string
		want               bool
	}{
		{"", "a", "Pending", true}, {"vnode", "a", "Pending", true}, {"module", "a", "Pending", false},
		{"", "", "Pending", false}, {"", "a", "Running", false}, {"", "a", "Failed", false},
	} {
		set := labels.Set{}
		if c.label != "" {
			set["virtual-kubelet.koupleless.io/component"] = c.label
		}
		is := got.Labels.Matches(set) && got.Fields.Matches(fields.Set{"spec.nodeName": c.node, "status.phase": c.phase})
		if is != c.want {
			t.Errorf("%+v is watched: %v", c, is)
		}
	}
}
