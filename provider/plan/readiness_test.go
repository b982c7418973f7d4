package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestReadinessFollowsProbes(t *testing.T) {
	tcp := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}}
	exec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{}}}
	since := metav1.NewTime(noon.Add(-30 * time.Second)) // see ran
	before := metav1.NewTime(noon.Add(-time.Hour))
	for _, c := range []struct {
		name                         string
		startup, readiness, liveness *corev1.Probe
		probed                       *Probed
		started, ready               bool
	}{
		{name: "no probes", started: true, ready: true},
		{name: "a liveness probe holds nothing back", liveness: tcp, started: true, ready: true},
		{name: "not probed yet", readiness: tcp, started: true},
		{name: "it passes", readiness: tcp, probed: &Probed{Since: since, Started: true, Ready: true}, started: true, ready: true},
		{name: "it fails", readiness: tcp, probed: &Probed{Since: since, Started: true}, started: true},
		{name: "it passed for the module before", readiness: tcp, probed: &Probed{Since: before, Started: true, Ready: true}, started: true},
		{name: "not started yet", startup: tcp, probed: &Probed{Since: since, Ready: true}},
		{name: "not started, and not probed", startup: tcp, readiness: tcp},
		{name: "started, and nothing else asked", startup: tcp, probed: &Probed{Since: since, Started: true, Ready: true}, started: true, ready: true},
		{name: "started, not ready", startup: tcp, readiness: tcp, probed: &Probed{Since: since, Started: true}, started: true},
		{name: "what passed at once is not ready before it started", startup: tcp, readiness: tcp, probed: &Probed{Since: since, Ready: true}},
		{name: "a command cannot be run", readiness: exec, startup: exec, started: true, ready: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := podFor("p", "orders:1", ran(urlOf("orders", "1")))
			of := &pod.Spec.Containers[0]
			of.StartupProbe, of.ReadinessProbe, of.LivenessProbe = c.startup, c.readiness, c.liveness
			if c.probed != nil {
				pod.Probed = map[string]Probed{"orders": *c.probed}
			}
			out := Modules(onBase("orders:1 activated").with(pod))
			s := statusIn(out, "p").Status
			if cs := s.ContainerStatuses[0]; cs.Ready != c.ready || *cs.Started != c.started || cs.State.Running == nil || isTrue(s, corev1.PodReady) != c.ready {
				t.Errorf("status %+v, want started %v, ready %v", cs, c.started, c.ready)
			}
			// A module that does not serve is neither, whatever is said of it.
			gone := statusIn(Modules(onBase().with(pod)), "p").Status.ContainerStatuses[0]
			if gone.Ready || *gone.Started {
				t.Errorf("a module that is gone: %+v", gone)
			}
		})
	}
}
