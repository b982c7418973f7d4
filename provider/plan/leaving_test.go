package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// sleeps gives a pod's module a preStop hook that sleeps.
func sleeps(seconds int64) func(*Pod) {
	return func(p *Pod) {
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}}
	}
}

// deletedAtNoon makes a pod one whose deletion began at noon, with so much grace.
func deletedAtNoon(grace int64) func(*Pod) {
	return func(p *Pod) {
		terminating(p)
		p.DeletionTimestamp.Time = noon.Add(time.Duration(grace) * time.Second)
		p.DeletionGracePeriodSeconds = &grace
	}
}

func TestLeavesAt(t *testing.T) {
	serving := ran("file:///x.jar")
	beside := func(seconds int64) func(*Pod) {
		return func(p *Pod) {
			other := podFor("other", "stock:1", sleeps(seconds), serving)
			p.Spec.Containers = append(p.Spec.Containers, other.Spec.Containers...)
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, other.Status.ContainerStatuses...)
		}
	}
	execs := func(p *Pod) {
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{}}}
	}
	for _, c := range []struct {
		name string
		pod  Pod
		want time.Duration // after the deletion began; less than 0 for at once
	}{
		{"without a hook", podFor("p", "orders:1", serving, deletedAtNoon(30)), -1},
		{"with a hook that runs something", podFor("p", "orders:1", serving, execs, deletedAtNoon(30)), -1},
		{"with a sleep", podFor("p", "orders:1", serving, sleeps(10), deletedAtNoon(30)), 10 * time.Second},
		{"the longest", podFor("p", "orders:1", serving, sleeps(10), beside(20), deletedAtNoon(30)), 20 * time.Second},
		{"the longest, the first", podFor("p", "orders:1", serving, sleeps(10), beside(5), deletedAtNoon(30)), 10 * time.Second},
		{"beyond the grace", podFor("p", "orders:1", serving, sleeps(60), deletedAtNoon(30)), 30 * time.Second},
		{"without grace", podFor("p", "orders:1", serving, sleeps(60), deletedAtNoon(0)), 0},
		{"of a module that does not serve", podFor("p", "orders:1", sleeps(10), waits(ReasonInstalling), deletedAtNoon(30)), -1},
		{"of a pod that is gone", podFor("p", "orders:1", serving, sleeps(10), deletedAtNoon(30), gone), -1},
		{"of a pod that lives", podFor("p", "orders:1", serving, sleeps(10)), -1},
		{"a grace that is not told", podFor("p", "orders:1", serving, sleeps(10), terminating), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := time.Time{}
			if c.want >= 0 {
				want = noon.Add(c.want)
			}
			if got := leavesAt(c.pod); !got.Equal(want) {
				t.Errorf("leaves at %s, want %s", got, want)
			}
		})
	}
}

// A terminating pod stays ready until its module is stopped. One that is there and serves no
// more, because it was switched away from or does not stop, is no endpoint.
func TestATerminatingPodIsReadyWhileItServes(t *testing.T) {
	other := podFor("q", "orders:2", ran(urlOf("orders", "2")), age(time.Second))
	for _, c := range []struct {
		name   string
		list   []string
		change func(*Input)
		ready  bool
	}{
		{"it serves", []string{"orders:1 activated"}, nil, true},
		{"it was switched away from", []string{"orders:1 deactivated", "orders:2 activated"}, nil, false},
		{"it is broken", []string{"orders:1 broken"}, nil, false},
		{"the base is away", []string{"orders:1 deactivated"}, func(in *Input) { in.Live = false }, true},
		{"it may be there, unlisted", []string{"orders:2 activated"}, func(in *Input) { in.Seen.Partial = true }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := podFor("p", "orders:1", ran(urlOf("orders", "1")), shownReady, terminating)
			pod.Status.PodIP, pod.Status.PodIPs = "192.0.2.9", []corev1.PodIP{{IP: "192.0.2.9"}}
			in := onBase(c.list...).with(pod, other)
			if c.change != nil {
				c.change(&in)
			}
			s := statusIn(Modules(in), "p").Status
			if isTrue(s, corev1.PodReady) != c.ready || (s.PodIP != "") != c.ready || (len(s.PodIPs) > 0) != c.ready || s.ContainerStatuses[0].State.Running == nil {
				t.Errorf("status %+v, want ready %v", s, c.ready)
			}
			in.Pods[0].Status, in.Now = s, noon.Add(time.Minute)
			if again := statusIn(Modules(in), "p").Status; !equal(s, again) {
				t.Errorf("a later look changes it: %+v, %+v", s, again)
			}
		})
	}
}

// A pod that was not ready says nothing new when it is deleted.
func TestATerminatingPodThatWasNotReadyShowsWhatItHas(t *testing.T) {
	pod := podFor("p", "orders:1", waits(ReasonInstallBackOff), shownReady, terminating)
	in := onBase("orders:1 broken").with(pod)
	if got := statusIn(Modules(in), "p").Status; !equal(pod.Status, got) {
		t.Errorf("status %+v", got)
	}
}

func TestTellLeaving(t *testing.T) {
	s := corev1.PodStatus{}
	tellLeaving(&s, "uninstall failed: the file is held, 3 tries")
	if s.Reason != "UninstallPending" || s.Message != "uninstall failed: the file is held, 3 tries" {
		t.Errorf("status %+v", s)
	}
	tellLeaving(&s, "")
	if s.Reason != "" || s.Message != "" {
		t.Errorf("status %+v", s)
	}
}
