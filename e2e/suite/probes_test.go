package suite

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/e2e/world"
)

// webPort is where the module web listens, at its base's address.
const webPort = 18080

// askedAt is a probe of the path /health, each second.
func askedAt(port int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(port)}},
		PeriodSeconds: 1, FailureThreshold: 2,
	}
}

// notReadyWhileItRuns waits until a module runs and its pod is not ready.
func notReadyWhileItRuns(w *world.World, name string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		p, err := w.GetPod(name)
		switch {
		case err != nil:
			return err
		case len(p.Status.ContainerStatuses) == 0, p.Status.ContainerStatuses[0].State.Running == nil:
			return fmt.Errorf("pod %s does not run: %s", name, world.Waiting(*p))
		case world.PodReady(*p):
			return fmt.Errorf("pod %s is ready", name)
		}
		return nil
	})
}

// Pods are ready as their probes say, at the address of their base, and a module whose
// liveness probe fails is installed again.
func TestProbes(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP().WithController("BACKOFF_BASE=1s").WithHTTPFleet(1)
	w.AwaitNodesReady(1)
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("web", "1.0.0"), "name": "web", "version": "1.0.0", "port": webPort, "listens": true}))
	w.CreatePod("closed", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"), func(p *corev1.Pod) {
		p.Spec.Containers[0].ReadinessProbe = askedAt(webPort + 1)
	})
	w.CreatePod("open", "base-0001", "web", "1.0.0", world.Jar("web", "1.0.0"), func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: webPort}}
		c.ReadinessProbe, c.LivenessProbe = askedAt(webPort), askedAt(webPort)
		c.ReadinessProbe.HTTPGet.Port = intstr.FromString("web")
		c.LivenessProbe.FailureThreshold = 6
	})
	w.AwaitReady("open")
	notReadyWhileItRuns(w, "closed")
	w.Eventually(world.Timeout, func() error {
		events, err := cluster.Client.CoreV1().Events(w.Env).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=closed,reason=Unhealthy"})
		if err != nil || len(events.Items) > 0 {
			return err
		}
		return fmt.Errorf("no Event says why")
	})

	w.Must(w.Fleet.Do("base-0001", "unhealthy?module=web"))
	notReadyWhileItRuns(w, "open")
	w.Eventually(world.Timeout, func() error {
		p, err := w.GetPod("open")
		if err == nil && p.Status.ContainerStatuses[0].RestartCount == 0 {
			err = fmt.Errorf("it is not installed again: %+v", p.Status.ContainerStatuses[0])
		}
		return err
	})
	w.Must(w.Fleet.Do("base-0001", "resume"))
	w.AwaitReady("open")
	notReadyWhileItRuns(w, "closed")
}
