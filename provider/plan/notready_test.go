package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shownReady gives a pod the conditions of one that is, an hour ago.
func shownReady(p *Pod) {
	s := p.Status.DeepCopy()
	for i := range s.ContainerStatuses {
		s.ContainerStatuses[i].Started = new(s.ContainerStatuses[i].Ready)
	}
	setPodConditions(p.Pod, s, "", noon.Add(-time.Hour))
	p.Status = *s
}

func readiness(s corev1.PodStatus) map[corev1.PodConditionType]string {
	shown := map[corev1.PodConditionType]string{}
	for _, c := range s.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			shown[c.Type] = string(c.Status) + " " + c.Reason
		}
	}
	return shown
}

// Pods of a base that is not ready are not ready, at once and whatever it was last seen to
// do; nothing else of them changes, and no command follows.
func TestPodsOfABaseThatIsNotReady(t *testing.T) {
	silent := func(in *Input) { in.Live, in.NotReady = false, ReasonBaseSilent }
	mute := func(in *Input) { in.NotReady = ReasonBaseNotAnswering }
	two := func(in *Input) { in.Conflict, in.NotReady = "two", ReasonIdentityConflict }
	unread := func(in *Input) { in.Seen, in.NotReady = Seen{}, ReasonBaseSilent }
	url := urlOf("orders", "1")
	is := func(reason string) map[corev1.PodConditionType]string {
		return map[corev1.PodConditionType]string{corev1.PodReady: "False " + reason, corev1.ContainersReady: "False " + reason}
	}
	for _, c := range []struct {
		name   string
		pod    Pod
		change func(*Input)
		want   map[corev1.PodConditionType]string
	}{
		{"silent", podFor("p", "orders:1", ran(url), shownReady), silent, is(ReasonBaseSilent)},
		{"heard, but not answering", podFor("p", "orders:1", ran(url), shownReady), mute, is(ReasonBaseNotAnswering)},
		{"two of one identity", podFor("p", "orders:1", ran(url), shownReady), two, is(ReasonIdentityConflict)},
		{"taken over before its list was read", podFor("p", "orders:1", ran(url), shownReady), unread, is(ReasonBaseSilent)},
		{"its pod terminates", podFor("p", "orders:1", ran(url), shownReady, terminating), silent, is(ReasonBaseSilent)},
		{"its pod was not ready", podFor("p", "orders:1", waits(ReasonInstallBackOff), shownReady), silent, is("ContainersNotReady")},
		{"its pod is not synced", podFor("p", "orders:1", ran(url), shownReady, notSynced), silent, map[corev1.PodConditionType]string{corev1.PodReady: "True ", corev1.ContainersReady: "True "}},
		{"its pod ended", podFor("p", "orders:1", ran(url), shownReady, succeeding), silent, map[corev1.PodConditionType]string{corev1.PodReady: "True ", corev1.ContainersReady: "True "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase().with(c.pod) // the list that it gave last has the module no more
			c.change(&in)
			before := *c.pod.Status.DeepCopy()
			out := Modules(in)
			got := statusIn(out, "p")
			if d := cmp.Diff(c.want, readiness(got.Status)); d != "" || got.Finished {
				t.Errorf("finished %v, readiness (-want +got):\n%s", got.Finished, d)
			}
			got.Status.Conditions = before.Conditions
			if d := cmp.Diff(before, got.Status); d != "" {
				t.Errorf("something else changed (-was +is):\n%s", d)
			}
			if d := cmp.Diff(before, c.pod.Status); d != "" || events(out) != "" {
				t.Errorf("events %q, the input changed (-was +is):\n%s", events(out), d)
			}
		})
	}
}

// A pod is ready again when its base is; what it is not ready for is always today's.
func TestPodsOfABaseThatIsReadyAgain(t *testing.T) {
	pod := podFor("p", "orders:1", ran(urlOf("orders", "1")), shownReady)
	began := pod.Status
	in := onBase("orders:1 activated").with(pod)
	look := func(at time.Duration, notReady string, live bool) corev1.PodStatus {
		in.Now, in.NotReady, in.Live = noon.Add(at), notReady, live
		out := Modules(in)
		if len(out.Commands) > 0 || events(out) != "" {
			t.Errorf("commands %v, events %q", commands(out), events(out))
		}
		in.Pods[0].Status = statusIn(out, "p").Status
		return in.Pods[0].Status
	}
	first := look(0, ReasonBaseSilent, false)
	since := metav1.NewTime(noon)
	for _, at := range []time.Duration{time.Second, time.Minute} {
		if d := cmp.Diff(first, look(at, ReasonBaseSilent, false)); d != "" {
			t.Errorf("a later look (-was +is):\n%s", d)
		}
	}
	for i, c := range look(2*time.Minute, ReasonBaseNotAnswering, true).Conditions {
		if (c.Type == corev1.PodReady || c.Type == corev1.ContainersReady) && (c.Reason != ReasonBaseNotAnswering || !c.LastTransitionTime.Equal(&since)) {
			t.Errorf("condition %d: %+v", i, c)
		}
	}
	if s := look(3*time.Minute, "", false); isTrue(s, corev1.PodReady) {
		t.Errorf("our link is down, and it is ready: %+v", s.Conditions)
	}
	again := look(4*time.Minute, "", true)
	if !isTrue(again, corev1.PodReady) || !isTrue(again, corev1.ContainersReady) {
		t.Errorf("conditions %+v", again.Conditions)
	}
	if d := cmp.Diff(began.ContainerStatuses, again.ContainerStatuses); d != "" {
		t.Errorf("its containers changed (-was +is):\n%s", d)
	}
}
