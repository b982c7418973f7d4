package suite

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// A pod's way is one trace in a collector, from its binding until it is Ready, although its
// base was handed over in between.
func TestAPodHasOneTraceOverAHandover(t *testing.T) {
	t.Parallel()
	collector, err := harness.StartCollector()
	if err != nil {
		t.Fatal(err)
	}
	w := cluster.New(t).WithBroker().WithFleet(1)
	w.Cleanup(func() { w.Must(collector.Close()) })
	w.WithReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s", "TRACING_ENDPOINT="+collector.Endpoint(), "OTEL_BSP_SCHEDULE_DELAY=200")
	w.AwaitNodesReady(1)
	w.AwaitPlaced()
	before := w.Owners()[w.NodeName(world.BaseID(1))].Holder
	w.Must(w.Fleet.Do(world.BaseID(1), "fail-installs?n=all"))
	pod := w.CreatePod("orders", world.BaseID(1), "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitWaiting("orders", "InstallFailed")
	w.Must(w.ReplicaOf(before).Stop(world.StopTimeout))
	w.AwaitOwned(world.Timeout, 1, before)
	w.Must(w.Fleet.Do(world.BaseID(1), "fail-installs?n=0"))
	w.AwaitReady("orders")
	after := w.Owners()[w.NodeName(world.BaseID(1))].Holder

	sum := sha256.Sum256([]byte(pod.UID))
	trace := hex.EncodeToString(sum[:])[:32]
	var of []harness.Span
	w.Eventually(world.Timeout, func() error {
		of = slices.DeleteFunc(collector.Spans(), func(s harness.Span) bool { return hex.EncodeToString(s.GetTraceId()) != trace })
		for _, want := range []struct{ instance, name string }{
			{before, "queue pod"}, {before, "plan"}, {before, "install module"}, {before, "write status"},
			{after, "queue pod"}, {after, "plan"}, {after, "install module"}, {after, "list modules"}, {after, "write status"}, {after, "start pod"},
		} {
			if !slices.ContainsFunc(of, func(s harness.Span) bool { return s.Instance == want.instance && s.GetName() == want.name }) {
				return fmt.Errorf("%s made no span %q of the trace %s: %s", want.instance, want.name, trace, told(of))
			}
		}
		return nil
	})
	roots := slices.DeleteFunc(slices.Clone(of), func(s harness.Span) bool { return len(s.GetParentSpanId()) > 0 })
	if len(roots) != 1 || roots[0].GetName() != "start pod" {
		t.Fatalf("the roots are %s", told(roots))
	}
	root := roots[0]
	for _, s := range of {
		if len(s.GetParentSpanId()) > 0 && !slices.Equal(s.GetParentSpanId(), root.GetSpanId()) {
			t.Errorf("%s is not below the root", s.GetName())
		}
		if s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s is out of time: %v", s.GetName(), s)
		}
	}
}

// told has the names of spans, and who made them.
func told(spans []harness.Span) (names []string) {
	for _, s := range spans {
		names = append(names, s.Instance+" "+s.GetName())
	}
	return names
}
