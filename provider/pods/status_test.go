package pods

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"module-controller/provider/plan"
)

func condition(t corev1.PodConditionType, is corev1.ConditionStatus, reason string) corev1.PodCondition {
	return corev1.PodCondition{Type: t, Status: is, Reason: reason}
}

// patched is a status as the API server has it after a patch.
func patched(t *testing.T, server, was, is corev1.PodStatus) corev1.PodStatus {
	t.Helper()
	pod := podOn("one", "a", "1")
	patch, err := statusPatch(pod, was.Conditions, is)
	must(t, err)
	before, err := json.Marshal(corev1.Pod{Status: server})
	must(t, err)
	after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Pod{})
	must(t, err)
	var got corev1.Pod
	must(t, json.Unmarshal(after, &got))
	if got.UID != pod.UID || got.Labels != nil || got.ResourceVersion != "" {
		t.Errorf("the patch carries more than the UID: %+v", got.ObjectMeta)
	}
	return got.Status
}

// What others write is theirs, however old the cache is from which a status was made.
func TestAStatusLeavesToOthersWhatIsTheirs(t *testing.T) {
	cached := corev1.PodStatus{
		Phase: corev1.PodPending, Reason: "Old", PodIP: "192.0.2.1", QOSClass: corev1.PodQOSBestEffort,
		Conditions: []corev1.PodCondition{
			condition(corev1.PodReady, corev1.ConditionFalse, "Old"), condition(corev1.PodScheduled, corev1.ConditionTrue, ""),
			condition("example.com/gate", corev1.ConditionFalse, "Closed"), condition("base.koupleless.io/old", corev1.ConditionTrue, ""),
		},
	}
	server := *cached.DeepCopy()
	server.Conditions[1].Reason = "ByTheScheduler"
	server.Conditions[2] = condition("example.com/gate", corev1.ConditionTrue, "Open")
	server.Conditions = append(server.Conditions, condition(corev1.DisruptionTarget, corev1.ConditionTrue, "Preempted"))
	server.NominatedNodeName, server.QOSClass = "n", corev1.PodQOSBurstable
	server.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "gpu"}}

	is := *cached.DeepCopy()
	is.Phase, is.Reason, is.PodIP = corev1.PodRunning, "", ""
	is.Conditions[0] = condition(corev1.PodReady, corev1.ConditionTrue, "")
	is.Conditions[3] = condition("base.koupleless.io/new", corev1.ConditionTrue, "")

	want := *server.DeepCopy()
	want.Phase, want.Reason, want.PodIP = corev1.PodRunning, "", ""
	want.Conditions[0] = is.Conditions[0]
	want.Conditions[3] = server.Conditions[4]
	want.Conditions = append(want.Conditions[:4], is.Conditions[3])
	sort := func(s corev1.PodStatus) corev1.PodStatus {
		slices.SortFunc(s.Conditions, func(a, b corev1.PodCondition) int { return strings.Compare(string(a.Type), string(b.Type)) })
		return s
	}
	if diff := cmp.Diff(sort(want), sort(patched(t, server, cached, is))); diff != "" {
		t.Errorf("patched (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sort(want), sort(over(server, is))); diff != "" {
		t.Errorf("as the planner sees it (-want +got):\n%s", diff)
	}
}

// That a pod is scheduled is told where nobody did: it was bound past the scheduler.
func TestWhoTellsThatAPodIsScheduled(t *testing.T) {
	scheduled := corev1.PodStatus{Conditions: []corev1.PodCondition{condition(corev1.PodScheduled, corev1.ConditionTrue, "")}}
	for name, was := range map[string]corev1.PodStatus{"nobody": {}, "the scheduler": scheduled} {
		patches, err := conditionPatches(was.Conditions, scheduled)
		must(t, err)
		if told := len(patches) > 0; told != (name == "nobody") {
			t.Errorf("%s told it before: patches %v", name, patches)
		}
	}
}

// Nothing of ours stays that is set no more.
func TestAStatusReplacesWhatIsOurs(t *testing.T) {
	now := metav1.Now().Rfc3339Copy()
	was := corev1.PodStatus{
		Phase: corev1.PodPending, Reason: "Old", Message: "old", StartTime: &now, ObservedGeneration: 3,
		PodIP: "192.0.2.1", PodIPs: []corev1.PodIP{{IP: "192.0.2.1"}}, HostIP: "192.0.2.1", HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}},
		ContainerStatuses:     []corev1.ContainerStatus{{Name: "a"}, {Name: "b"}},
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "i"}}, EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "e"}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "Old", Message: "old", ObservedGeneration: 7},
			condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, ""),
		},
	}
	is := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if diff := cmp.Diff(is, patched(t, was, was, is)); diff != "" {
		t.Errorf("all unset (-want +got):\n%s", diff)
	}
	is.PodIPs, is.HostIPs = []corev1.PodIP{{IP: "192.0.2.2"}}, []corev1.HostIP{{IP: "192.0.2.2"}}
	is.ContainerStatuses = []corev1.ContainerStatus{{Name: "b"}}
	if diff := cmp.Diff(is, patched(t, was, was, is)); diff != "" {
		t.Errorf("others set (-want +got):\n%s", diff)
	}
}

// The names of our fields are those that takeFields sets.
func TestOwnFieldsAreNamed(t *testing.T) {
	var all corev1.PodStatus
	fill(reflect.ValueOf(&all).Elem())
	var ours corev1.PodStatus
	takeFields(&ours, all)
	fields, err := object(ours)
	must(t, err)
	for name := range fields {
		if !slices.Contains(plan.OwnedFields, name) {
			t.Errorf("%s is taken and not named", name)
		}
	}
	if len(fields) != len(plan.OwnedFields) {
		t.Errorf("taken %v, named %v", fields, plan.OwnedFields)
	}
}

// fill sets every field of a struct to something.
func fill(v reflect.Value) {
	for _, f := range v.Fields() {
		switch f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Int64:
			f.SetInt(1)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		default: // stays as it is
		}
	}
}
