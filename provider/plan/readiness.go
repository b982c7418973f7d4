package plan

import corev1 "k8s.io/api/core/v1"

// setReadiness says whether a container has started and is ready, by the probes of the
// module that runs: what was found of the one before says nothing of it. One that was not
// probed yet is neither, as with a kubelet.
func setReadiness(cs *corev1.ContainerStatus, c corev1.Container, probed Probed) {
	ran := cs.State.Running
	if ran == nil {
		cs.Ready, cs.Started = false, new(bool)
		return
	}
	if !probed.Since.Equal(&ran.StartedAt) {
		probed = Probed{}
	}
	started := probed.Started || !probes(c.StartupProbe)
	cs.Started = &started
	cs.Ready = started && (probed.Ready || !probes(c.ReadinessProbe))
}

// probes says whether a probe counts. There is no process that a command could be run in,
// so one that runs a command passes; an Event tells that it is ignored.
func probes(p *corev1.Probe) bool { return p != nil && !execs(p) }
