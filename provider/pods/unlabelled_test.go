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
	"k8s.io/client-go/tools/record"

	"module-controller/provider/plan"
)

// unlabelled is a pod that ran and lost the label of modules.
func unlabelled(change ...func(*corev1.Pod)) *corev1.Pod {
	return stranger("one", "a", append([]func(*corev1.Pod){func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{condition(corev1.PodReady, corev1.ConditionTrue, "")}
	}}, change...)...)
}

// What becomes of a pod that left the cache of modules follows from what the API server
// has of it.
func TestWhatBecomesOfAPodThatLeft(t *testing.T) {
	labelled := func(p *corev1.Pod) { p.Labels[plan.LabelComponent] = plan.ComponentModule }
	for _, c := range []struct {
		name               string
		pod                *corev1.Pod // as the API server has it; nil for none
		node               string      // default: a
		refuses            bool
		get, patch         error
		fails, ends, leave bool
	}{
		{name: "one that lost the label", pod: unlabelled(), ends: true},
		{name: "one that was deleted by force"},
		{name: "another one of that name", pod: unlabelled(func(p *corev1.Pod) { p.UID = "other" })},
		{name: "one that has the label again", pod: unlabelled(labelled)},
		{name: "one that has ended", pod: unlabelled(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })},
		{name: "one that was deleted since", pod: unlabelled(deleted), leave: true},
		{name: "one that finalizers keep", pod: unlabelled(deleted, func(p *corev1.Pod) { *p.DeletionGracePeriodSeconds, p.Finalizers = 0, []string{"x"} })},
		{name: "on a Node that is not served", pod: unlabelled(), node: "b"},
		{name: "without the claim", pod: unlabelled(), refuses: true, fails: true},
		{name: "it cannot be read", pod: unlabelled(), get: errors.New("no"), fails: true},
		{name: "it cannot be written", pod: unlabelled(), patch: errors.New("no"), fails: true},
		{name: "it is gone before it is written", pod: unlabelled(), patch: apierrors.NewNotFound(corev1.Resource("pods"), "one")},
	} {
		client := fake.NewClientset()
		if c.pod != nil {
			must(t, client.Tracker().Add(c.pod.DeepCopy()))
		}
		for verb, err := range map[string]error{"get": c.get, "patch": c.patch} {
			client.PrependReactor(verb, "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return err != nil, nil, err })
		}
		events := record.NewFakeRecorder(10)
		s := newStrangers(Deps{Client: client, Recorder: events, Meter: noMeter{}, Log: zap.NewNop()},
			func(string) bool { return !c.refuses }, func(node string) bool { return node != "b" })
		was := podOn("one", "a", "uid of one")
		if c.node != "" {
			was.Spec.NodeName = c.node
		}
		s.leave(was)
		if err := s.settle(t.Context(), "default/one"); (err != nil) != c.fails || (len(s.left) > 0) != c.fails {
			t.Errorf("%s: error %v, %d are left", c.name, err, len(s.left))
		}
		must(t, s.settle(t.Context(), "default/another"))
		client.ReactionChain = client.ReactionChain[2:]
		now, err := client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
		if gone := apierrors.IsNotFound(err); gone != (c.leave || c.pod == nil) {
			t.Errorf("%s: it is gone: %v", c.name, gone)
		}
		if ended := err == nil && now.Status.Reason == ReasonNotAModule; ended != c.ends || len(events.Events) > 0 != c.ends {
			t.Errorf("%s: it was ended: %v, %d Events", c.name, ended, len(events.Events))
		}
		if c.ends && (now.Status.Phase != corev1.PodFailed || conditionOf(now.Status, corev1.PodReady).Status != corev1.ConditionFalse) {
			t.Errorf("%s: it shows %+v", c.name, now.Status)
		}
	}
}

// A pod that leaves the cache of modules is looked at, unless it was deleted here, had ended,
// or is on a Node that is not served.
func TestAPodThatLosesItsLabelIsEnded(t *testing.T) {
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"one that serves":    {podOn("one", "a", "1"), true},
		"one that has ended": {func() *corev1.Pod { p := podOn("one", "a", "1"); p.Status.Phase = corev1.PodFailed; return p }(), false},
		"one of others":      {podOn("one", "b", "1"), false},
		"one deleted here":   {podOn("one", "a", "1"), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := running(t, c.pod)
			if name == "one deleted here" {
				r.store.deleted(c.pod)
			}
			now := c.pod.DeepCopy()
			now.Labels, now.DeletionTimestamp = nil, nil
			if now.Status.Phase == corev1.PodFailed {
				now.Status.Phase = corev1.PodRunning // that it had ended is what was known of it here
			}
			r.client.PrependReactor("get", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, now, nil })
			patched := 0
			r.client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { patched++; return true, now, nil })
			// The API server in memory goes on watching a pod that matches no more.
			must(t, r.client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "default", "one"))
			r.passes(time.Second)
			if told := len(r.events) > 0; (patched > 0) != c.want || told != c.want {
				t.Fatalf("%s: written %d times, told %v", name, patched, told)
			}
			if !c.want {
				return
			}
			if e, want := <-r.events, fmt.Sprintf("Warning %s %s", ReasonNotAModule, messageUnlabelled); e != want {
				t.Errorf("%s: told %q, want %q", name, e, want)
			}
		})
	}
}
