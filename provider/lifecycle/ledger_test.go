package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

func attemptOf(v tunnel.Verb, key, request string, sent time.Time) plan.Attempt {
	return plan.Attempt{Command: tunnel.Command{Verb: v, Module: keyOf(key), RequestID: request}, Sent: sent}
}

// An answer counts only if it is to the attempt that is in flight, and the first one.
func TestOnlyTheAnswerToTheAttemptCounts(t *testing.T) {
	right := tunnel.Answer{Verb: tunnel.InstallModule, Module: keyOf("orders:1"), Outcome: tunnel.Done, RequestID: "1-u1-1"}
	for _, c := range []struct {
		name     string
		change   func(*tunnel.Report)
		answered bool
	}{
		{"it is", func(*tunnel.Report) {}, true},
		{"at the very time", func(r *tunnel.Report) { r.Received = noon }, true},
		{"over a tunnel that tells no request", func(r *tunnel.Report) { r.Answer.RequestID = "" }, true},
		{"another request", func(r *tunnel.Report) { r.Answer.RequestID = "1-u1-0" }, false},
		{"another verb", func(r *tunnel.Report) { r.Answer.Verb = tunnel.UninstallModule }, false},
		{"another version", func(r *tunnel.Report) { r.Answer.Module.Version = "2" }, false},
		{"before it was sent", func(r *tunnel.Report) { r.Received = noon.Add(-1) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(nil)
			l.Attempts["orders"] = attemptOf(tunnel.InstallModule, "orders:1", "1-u1-1", noon)
			answer := right
			r := tunnel.Report{Received: at(time.Second), Answer: &answer}
			c.change(&r)
			l.absorb("orders", r)
			got := l.Attempts["orders"]
			if (got.Answer != nil) != c.answered {
				t.Fatalf("answered: %v", got.Answer)
			}
			if c.answered && !got.Answered.Equal(r.Received) {
				t.Errorf("answered at %s, want %s", got.Answered, r.Received)
			}
			later := right
			later.Outcome = tunnel.Failed
			l.absorb("orders", tunnel.Report{Received: at(2 * time.Second), Answer: &later})
			if first := l.Attempts["orders"].Answer.Outcome; c.answered && first != tunnel.Done {
				t.Errorf("a second answer took its place: %s", first)
			}
		})
	}
	l := newLedger(nil)
	l.absorb("orders", tunnel.Report{Received: noon, Answer: &right})
	if len(l.Attempts) > 0 {
		t.Errorf("an answer to nobody makes an attempt: %v", l.Attempts)
	}
}

// A request id tells the claim, the pod, and the command of that claim: none is used twice.
func TestRequestIDsAreUsedOnce(t *testing.T) {
	before := map[tunnel.ModuleKey]bool{keyOf("old:1"): true}
	l := newLedger(before)
	install := plan.Planned{Command: tunnel.Command{Verb: tunnel.InstallModule, Module: keyOf("orders:1")}, Pod: "u1"}
	uninstall := plan.Planned{Command: tunnel.Command{Verb: tunnel.UninstallModule, Module: keyOf("stock:1")}}
	var ids []string
	for range 2 {
		for _, c := range l.issue([]plan.Planned{install, uninstall}, 7) {
			ids = append(ids, c.RequestID)
		}
	}
	if diff := cmp.Diff([]string{"7-u1-1", "7-controller-2", "7-u1-3", "7-controller-4"}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[tunnel.ModuleKey]bool{keyOf("old:1"): true, keyOf("orders:1"): true}, l.Installed); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	if len(before) != 1 {
		t.Errorf("the plan's own memory was changed: %v", before)
	}
	if got := l.issue(nil, 7); len(got) != 0 {
		t.Errorf("no command became %v", got)
	}
}

// A failure is kept here while a pod waits for its module, and elsewhere otherwise; what
// is known here is newer than what is remembered elsewhere.
func TestFailuresAreRememberedWhereTheyAreWanted(t *testing.T) {
	l := newLedger(nil)
	l.Failures[keyOf("orders:1")] = plan.Failure{Count: 2}
	l.recall(map[tunnel.ModuleKey]plan.Failure{keyOf("orders:1"): {Count: 1}, keyOf("stock:1"): {Count: 3}})
	if diff := cmp.Diff(map[tunnel.ModuleKey]plan.Failure{keyOf("orders:1"): {Count: 2}, keyOf("stock:1"): {Count: 3}}, l.Failures); diff != "" {
		t.Errorf("after they are recalled (-want +got):\n%s", diff)
	}
	out := plan.Output{
		Memory:   l.Memory,
		Statuses: []plan.PodStatus{{Pod: plan.Pod{Pod: podWith("u1", "orders:1")}}},
	}
	unwanted := l.remember(out)
	if diff := cmp.Diff(map[tunnel.ModuleKey]plan.Failure{keyOf("stock:1"): {Count: 3}}, unwanted); diff != "" {
		t.Errorf("to remember elsewhere (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[tunnel.ModuleKey]plan.Failure{keyOf("orders:1"): {Count: 2}}, l.Failures); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if len(out.Memory.Failures) != 2 {
		t.Errorf("the plan's own memory was changed: %v", out.Memory.Failures)
	}
}

// A ledger can always be written to, whatever the planner gave back.
func TestALedgerIsWhole(t *testing.T) {
	l := newLedger(nil)
	for _, when := range []string{"when it is new", "after an empty plan"} {
		if l.Attempts == nil || l.Failures == nil || l.Installed == nil || l.Unmanaged == nil {
			t.Errorf("%s it is %+v", when, l.Memory)
		}
		l.remember(plan.Output{})
	}
}

// podWith is a pod on the base's Node that wants a module.
func podWith(uid podID, key string) *corev1.Pod {
	k := keyOf(key)
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.UID = string(uid), "default", uid
	pod.Spec.NodeName = nodeName
	pod.Spec.Containers = []corev1.Container{{Name: k.Name, Image: "file:///" + k.Name + ".jar", Env: []corev1.EnvVar{{Name: plan.EnvVersion, Value: k.Version}}}}
	return pod
}
