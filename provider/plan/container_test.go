package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestARestartedBaseGetsItsModulesBack(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.modules = nil
	s.in.Seen.Modules, s.in.Seen.Started = nil, s.now
	s.round()
	if got := s.shows("p"); got != ReasonInstalling {
		t.Errorf("pod shows %s, want %s", got, ReasonInstalling)
	}
	s.rounds(3)
	s.want(t, map[string]string{"p": "Running"}, "orders:1")
	c := pod.Status.ContainerStatuses[0]
	if c.RestartCount != 1 || c.LastTerminationState.Terminated == nil || c.LastTerminationState.Terminated.Reason != reasonBaseRestarted {
		t.Errorf("restarts %d, last %+v", c.RestartCount, c.LastTerminationState.Terminated)
	}
	if pod.Status.Phase != corev1.PodRunning {
		t.Errorf("phase %s", pod.Status.Phase)
	}
}

// What is recorded of a module that served and does not any more. A restart counts when it
// serves again.
func TestStop(t *testing.T) {
	url := urlOf("orders", "1")
	newer := podFor("new", "orders:2", age(0), ran(urlOf("orders", "2")))
	for _, c := range []struct {
		name   string
		list   []string
		pod    Pod
		others []Pod
		change func(*Input)
		reason string
		exit   int32
	}{
		{name: "it vanished", pod: podFor("p", "orders:1", ran(url)), reason: "ModuleVanished", exit: 137},
		{name: "the base restarted", pod: podFor("p", "orders:1", ran(url)), change: func(in *Input) { in.Seen.Started = noon.Add(-time.Second) }, reason: "BaseRestarted", exit: 137},
		{name: "the base started before it", pod: podFor("p", "orders:1", ran(url)), change: func(in *Input) { in.Seen.Started = noon.Add(-time.Hour) }, reason: "ModuleVanished", exit: 137},
		{name: "its image was changed", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar")), reason: "Replaced", exit: 143},
		{name: "it is superseded", list: []string{"orders:2 activated"}, pod: podFor("p", "orders:1", ran(url)), others: []Pod{newer}, reason: ReasonSuperseded, exit: 143},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.others...).with(c.pod)
			if c.change != nil {
				c.change(&in)
			}
			s := statusIn(Modules(in), "p").Status.ContainerStatuses[0]
			want := &corev1.ContainerStateTerminated{Reason: c.reason, ExitCode: c.exit, StartedAt: metav1.NewTime(noon.Add(-30 * time.Second)), FinishedAt: metav1.NewTime(noon), ContainerID: "koupleless://b/x"}
			if d := cmp.Diff(want, s.LastTerminationState.Terminated); d != "" {
				t.Errorf("last state (-want +got):\n%s", d)
			}
			if s.RestartCount != 0 || s.State.Waiting == nil || s.Ready || *s.Started {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// Each start but the first is a restart, and no two of them have one id.
func TestRestarts(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("p", "orders:1"))
	ids := map[string]bool{}
	for i := range int32(3) {
		look := func(list ...string) corev1.ContainerStatus {
			in.Now = in.Now.Add(10 * time.Second)
			in.Seen.Modules, in.Seen.Listed = listed(list...), in.Now
			if len(list) > 0 {
				in.Seen.Modules[0].Since = noon // whatever the base says
			}
			in.Pods[0].Status = statusIn(Modules(in), "p").Status
			return in.Pods[0].Status.ContainerStatuses[0]
		}
		s := look("orders:1 activated")
		if s.RestartCount != i || s.State.Running == nil || ids[s.ContainerID] {
			t.Errorf("start %d: %+v", i, s)
		}
		ids[s.ContainerID] = true
		if s := look(); s.RestartCount != i || s.State.Waiting == nil {
			t.Errorf("end %d: %+v", i, s)
		}
	}
}

func TestStart(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("p", "orders:1"))
	out := Modules(in)
	s := statusIn(out, "p").Status.ContainerStatuses[0]
	if s.ContainerID != fmt.Sprintf("koupleless://b/orders:1/%d", noon.Unix()) || !s.Ready || !*s.Started || s.Image != urlOf("orders", "1") {
		t.Errorf("status %+v", s)
	}
	if got := events(out); got != "" {
		t.Errorf("the status tells it, and events %q", got)
	}
	in.Pods[0].Status = statusIn(out, "p").Status
	in.Now = noon.Add(time.Minute)
	if got := events(Modules(in)); got != "" {
		t.Errorf("it is told again: %q", got)
	}
	stopped := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: ReasonInstalling}}
	in.Pods[0].Status.ContainerStatuses[0].State = stopped
	if got := events(Modules(in)); got != "Installed: orders:1 serves again" {
		t.Errorf("it serves again: events %q", got)
	}
}

// The base's clock is believed where it makes sense.
func TestStartedAt(t *testing.T) {
	for name, c := range map[string]struct{ since, want time.Time }{
		"it did not say":     {time.Time{}, noon},
		"since the pod came": {noon.Add(-10 * time.Second), noon.Add(-10 * time.Second)},
		"before the pod":     {noon.Add(-time.Hour), noon},
		"to come":            {noon.Add(time.Second), noon},
		"whole seconds":      {noon.Add(-9500 * time.Millisecond), noon.Add(-10 * time.Second)},
	} {
		in := onBase("orders:1 activated").with(podFor("p", "orders:1"))
		in.Seen.Modules[0].Since = c.since
		if got := statusIn(Modules(in), "p").Status.ContainerStatuses[0].State.Running.StartedAt.Time; !got.Equal(c.want) {
			t.Errorf("%s: started %s, want %s", name, got, c.want)
		}
	}
}

// A new reason to wait is told once, and not where a command's failure told it.
func TestStopTellsItsReason(t *testing.T) {
	newer := podFor("new", "orders:2", age(0), ran(urlOf("orders", "2")))
	superseded := "Superseded: orders: pod new has orders:2 on this base"
	for _, c := range []struct {
		name string
		pod  Pod
		want string
	}{
		{"new", podFor("p", "orders:1"), superseded},
		{"it waited for another reason", podFor("p", "orders:1", waits(ReasonInstalling)), superseded},
		{"known", podFor("p", "orders:1", waits(ReasonSuperseded)), ""},
	} {
		if got := events(Modules(onBase("orders:2 activated").with(newer, c.pod))); got != c.want {
			t.Errorf("%s: events %q, want %q", c.name, got, c.want)
		}
	}
	for _, quiet := range []Pod{podFor("p", "orders:1"), podFor("p", "orders:1", noSecret)} {
		if got := events(Modules(onBase().with(quiet))); got != "" {
			t.Errorf("events %q, want none", got)
		}
	}
}
