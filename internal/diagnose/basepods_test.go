package diagnose

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What an Event on a base's Pod says is the cause, also on a Pod that is not labelled, but
// not of one that does not run.
func TestARefusalThatIsToldOnThePod(t *testing.T) {
	const told = `the base in this Pod is refused (no_workload): no Pod that matches the selector "base.koupleless.io/stack" has address 10.9.0.1`
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		rule   string
	}{
		"labelled":     {nil, "heartbeat-refused"},
		"not labelled": {func(p *corev1.Pod) { p.Labels = nil }, "heartbeat-refused"},
		"not running":  {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, "base-pod-not-running"},
	} {
		t.Run(name, func(t *testing.T) {
			w := sound()
			w.basePod("shop-0", c.change)
			w.event("Pod", "team", "shop-0", "HeartbeatRefused", told)
			all := whyBasePod("shop-0")(w)
			if len(all) != 1 || all[0].Rule != c.rule {
				t.Fatalf("found %+v, want %s", all, c.rule)
			}
			if c.rule == "heartbeat-refused" && !strings.Contains(all[0].Cause, told) {
				t.Errorf("the cause is %q", all[0].Cause)
			}
		})
	}
}
