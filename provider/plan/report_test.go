package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// A terminating pod is finished when its modules are gone, or somebody else's.
func TestFinished(t *testing.T) {
	for _, c := range []struct {
		name   string
		list   []string
		pods   []Pod // the first is the one
		change func(*Input)
		want   bool
	}{
		{name: "gone", pods: []Pod{podFor("p", "orders:1", terminating)}, want: true},
		{name: "deleted by force", pods: []Pod{podFor("p", "orders:1", gone)}, want: true},
		{name: "listed", list: []string{"orders:1 broken"}, pods: []Pod{podFor("p", "orders:1", terminating)}},
		{name: "another version is listed", list: []string{"orders:2 activated"}, pods: []Pod{podFor("p", "orders:1", terminating)}, want: true},
		{name: "another's now", list: []string{"orders:1 activated"}, pods: []Pod{podFor("p", "orders:1", terminating), podFor("q", "orders:1")}, want: true},
		{name: "on a partial list", pods: []Pod{podFor("p", "orders:1", terminating)}, change: func(in *Input) { in.Seen.Partial = true }},
		{name: "its install is in flight", pods: []Pod{podFor("p", "orders:1", terminating)}, change: func(in *Input) { *in = in.sent(install("orders:1"), time.Second) }},
		{name: "another's install is in flight", pods: []Pod{podFor("p", "orders:1", terminating)}, change: func(in *Input) { *in = in.sent(install("orders:2"), time.Second) }, want: true},
		{name: "the base is away", pods: []Pod{podFor("p", "orders:1", terminating)}, change: func(in *Input) { in.Live = false }},
		{name: "the base is not ready", pods: []Pod{podFor("p", "orders:1", terminating)}, change: func(in *Input) { in.NotReady = ReasonBaseNotAnswering }},
		{name: "it named no module", pods: []Pod{podFor("p", "orders:", terminating)}, want: true},
		{name: "it lives", pods: []Pod{podFor("p", "orders:1")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.pods...)
			if c.change != nil {
				c.change(&in)
			}
			if got := statusIn(Modules(in), "p").Finished; got != c.want {
				t.Errorf("finished %v, want %v", got, c.want)
			}
		})
	}
}

// Statuses stay where nobody knows better.
func TestStatusesStay(t *testing.T) {
	away := func(in *Input) { in.Live = false }
	unread := func(in *Input) { in.Seen = Seen{} }
	two := func(in *Input) { in.Conflict = "two" }
	for _, c := range []struct {
		name   string
		pod    Pod
		change func(*Input)
		stays  bool
	}{
		{"the base is away", podFor("p", "orders:1", ran("x")), away, true},
		{"it waits, and the base is away", podFor("p", "orders:1", waits(ReasonInstalling)), away, true},
		{"a new pod on a base that is away", podFor("p", "orders:1"), away, false},
		{"the list was never read", podFor("p", "orders:1", ran("x")), unread, true},
		{"two bases, and it runs on one", podFor("p", "orders:1", ran("x")), two, true},
		{"two bases, and it waits", podFor("p", "orders:1", waits(ReasonInstalling)), two, false},
		{"it ended", podFor("p", "orders:1", ran("x"), succeeding), nil, true},
		{"it is not synced", podFor("p", "orders:1", ran("x"), notSynced), nil, true},
		{"it is looked at", podFor("p", "orders:1", ran("x")), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase().with(c.pod)
			if c.change != nil {
				c.change(&in)
			}
			before := *c.pod.Status.DeepCopy()
			stays := cmp.Equal(before, statusIn(Modules(in), "p").Status)
			if stays != c.stays || !cmp.Equal(before, c.pod.Status) {
				t.Errorf("stays %v, want %v", stays, c.stays)
			}
		})
	}
}

// A pod is Running once every module has run, and never Pending again.
func TestPhaseOf(t *testing.T) {
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	waiting := corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}
	ranBefore := waiting
	ranBefore.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{}
	for _, c := range []struct {
		name       string
		was        corev1.PodPhase
		containers []corev1.ContainerStatus
		want       corev1.PodPhase
	}{
		{"new", "", []corev1.ContainerStatus{waiting}, corev1.PodPending},
		{"one of two runs", corev1.PodPending, []corev1.ContainerStatus{running, waiting}, corev1.PodPending},
		{"both run", corev1.PodPending, []corev1.ContainerStatus{running, running}, corev1.PodRunning},
		{"one has run", corev1.PodPending, []corev1.ContainerStatus{running, ranBefore}, corev1.PodRunning},
		{"it ran", corev1.PodRunning, []corev1.ContainerStatus{waiting}, corev1.PodRunning},
		{"it failed", corev1.PodFailed, []corev1.ContainerStatus{waiting}, corev1.PodFailed},
	} {
		if got := phaseOf(corev1.PodStatus{Phase: c.was, ContainerStatuses: c.containers}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Addresses and the start are those of the base and of the first look.
func TestStatusOfAPod(t *testing.T) {
	pod := podFor("p", "orders:1")
	pod.Status.Reason = "Evicted"
	in := onBase("orders:1 activated").with(pod)
	s := statusIn(Modules(in), "p").Status
	if s.PodIP != in.IP || s.HostIP != in.IP || len(s.PodIPs) != 1 || len(s.HostIPs) != 1 || !s.StartTime.Time.Equal(noon) || s.Reason != "" {
		t.Errorf("status %+v", s)
	}
	pod.Status = s
	in.Pods[0].Status = s
	in.Now, in.IP = noon.Add(time.Hour), ""
	if d := cmp.Diff(s, statusIn(Modules(in), "p").Status); d != "" {
		t.Errorf("a later look without an address changes it (-was +is):\n%s", d)
	}
}
