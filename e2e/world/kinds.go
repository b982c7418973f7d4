package world

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Kind is what a pod of the load is like.
type Kind struct {
	Name string
	// of prepares the n-th pod, and gives how it differs from one with one module.
	of func(r *Recorder, name string, n int) func(*corev1.Pod)
}

// The kinds of pods. Bare has one module. Several has two or three. Probed has one that
// listens, with a readiness and a liveness probe: its base needs an address of its own,
// which probes may go to.
var (
	Bare = Kind{"bare", func(*Recorder, string, int) func(*corev1.Pod) { return func(*corev1.Pod) {} }}

	Several = Kind{"of several modules", func(_ *Recorder, name string, n int) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for i := range 1 + n/2%2 {
				other := p.Spec.Containers[0]
				other.Name = fmt.Sprintf("%s-%d", name, i)
				other.Image = Jar(other.Name, "1.0.0")
				p.Spec.Containers = append(p.Spec.Containers, other)
			}
		}
	}}

	Probed = Kind{"with probes", func(r *Recorder, name string, n int) func(*corev1.Pod) {
		port := 20_000 + n%10_000 // no two of those that are there at a time have one
		r.insist(enough, func() error {
			return r.Fleet.Post("/jars", map[string]any{"url": Jar(name, "1.0.0"), "name": name, "version": "1.0.0", "port": port, "listens": true})
		})
		return func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.ReadinessProbe, c.LivenessProbe = askEachSecond(port, 3), askEachSecond(port, 10)
		}
	}}
)

// askEachSecond is a probe that may fail so many times less one.
func askEachSecond(port int, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt(port)}},
		PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: failures,
	}
}
