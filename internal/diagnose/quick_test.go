package diagnose

import (
	"fmt"
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"

	corev1 "k8s.io/api/core/v1"
)

// With 10,000 bases the cause is found in a moment: what takes time is to read them.
func TestManyBasesAreDiagnosedQuickly(t *testing.T) {
	const bases = 10_000
	w := sound()
	for i := range bases {
		id := fmt.Sprintf("many-%d", i)
		w.base(id, []string{"mc-0", "mc-1"}[i%2])
		w.module("pod-"+id, id, func(in *plan.Input) {
			in.Seen.Modules = []tunnel.Module{{ModuleKey: orders, State: tunnel.Activated}}
		})
	}
	w.unplacedPod(newPod, selectors, func(p *corev1.Pod) { p.Spec.NodeSelector["vnode.koupleless.io/name"] = "shpo" })
	for what, ask := range map[string]ask{"why": why(newPod), "check": check} {
		began := time.Now()
		all := ask(w)
		took := time.Since(began)
		if t.Logf("%s took %s", what, took); took > 2*time.Second || len(all) == 0 {
			t.Errorf("%s found %d in %s", what, len(all), took)
		}
	}
}
