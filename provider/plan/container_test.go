package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
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
