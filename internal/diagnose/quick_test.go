//go:build unix

package diagnose

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// worked is how long this process has computed: what else the machine does does not count.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// mostWork is more than ten times what it takes, for the race detector: what would grow with
// the square of the bases takes much longer.
const mostWork = 20 * time.Second

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
		began := worked(t)
		all := ask(w)
		took := worked(t) - began
		if t.Logf("%s took %s", what, took); took > mostWork || len(all) == 0 {
			t.Errorf("%s found %d in %s", what, len(all), took)
		}
	}
}
