package pods

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// idle is a room that does not run, with an API server in memory.
func idle(mayWrite bool, objects ...runtime.Object) (*Pods, *fake.Clientset) {
	client := fake.NewClientset(objects...)
	return New(Deps{Client: client, Log: zap.NewNop()}, Hooks{
		Wake: func(string) {}, MayWrite: func(string) bool { return mayWrite }, Address: noAddress,
	}), client
}

func (p *Pods) updateStatus(t *testing.T, pod *corev1.Pod) error {
	t.Helper()
	_, err := podClient{p.deps.Client.CoreV1(), p}.Pods("default").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	return err
}

// A patch leads to the status whatever the API server has: nothing of the old one stays
// but conditions of other types.
func TestAStatusReplacesWhatWasThere(t *testing.T) {
	was := corev1.PodStatus{
		Phase: corev1.PodPending, Reason: "Old", Message: "old",
		PodIPs: []corev1.PodIP{{IP: "192.0.2.1"}}, HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "Old", Message: "old", ObservedGeneration: 7},
			{Type: "example.com/gate", Status: corev1.ConditionTrue},
		},
	}
	is := corev1.PodStatus{
		Phase:  corev1.PodRunning,
		PodIPs: []corev1.PodIP{{IP: "192.0.2.2"}}, HostIPs: []corev1.HostIP{{IP: "192.0.2.2"}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	pod := podOn("one", "a", "1")
	pod.Status = is
	patch, err := statusPatch(pod)
	must(t, err)
	before, err := json.Marshal(corev1.Pod{Status: was})
	must(t, err)
	after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Pod{})
	must(t, err)
	var got corev1.Pod
	must(t, json.Unmarshal(after, &got))
	is.Conditions = append(is.Conditions, was.Conditions[1])
	if diff := cmp.Diff(is, got.Status); diff != "" {
		t.Errorf("patched (-want +got):\n%s", diff)
	}
	if got.UID != pod.UID || got.Labels != nil || got.ResourceVersion != "" {
		t.Errorf("the patch carries more than the UID: %+v", got.ObjectMeta)
	}
}

// What may not be written is an error, so that virtual-kubelet tries again.
func TestAStatusThatMayNotBeWrittenNowIsTriedAgain(t *testing.T) {
	pod := podOn("one", "a", "1")
	p, _ := idle(false, pod)
	changed := pod.DeepCopy()
	changed.Status.Phase = corev1.PodRunning
	if err := p.updateStatus(t, changed); !errors.Is(err, errNotHeld) {
		t.Errorf("error %v", err)
	}
	got, err := p.deps.Client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{})
	must(t, err)
	if got.Status.Phase != "" {
		t.Errorf("it was written: %s", got.Status.Phase)
	}
}

// virtual-kubelet gives up what is not found, and tries all else again.
func TestErrorsOfAWrite(t *testing.T) {
	gr := corev1.Resource("pods")
	for _, c := range []struct {
		name     string
		err      error
		notFound bool
	}{
		{"another pod of that name", apierrors.NewConflict(gr, "one", errors.New("the UID differs")), true},
		{"the pod is gone", apierrors.NewNotFound(gr, "one"), true},
		{"the API server fails", apierrors.NewInternalError(errors.New("no")), false},
	} {
		pod := podOn("one", "a", "1")
		p, client := idle(true, pod)
		p.Serve("a", noon)
		must(t, p.store.CreatePod(t.Context(), pod))
		must(t, p.facade.informer.GetIndexer().Add(pod))
		client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
		p.store.begin(pod, pod.Status)
		if err := p.updateStatus(t, pod); err == nil || apierrors.IsNotFound(err) != c.notFound || !p.Writing("a") {
			t.Errorf("%s: error %v, being written: %v", c.name, err, p.Writing("a"))
		}
	}
}

// virtual-kubelet deletes nothing.
func TestVirtualKubeletDeletesNothing(t *testing.T) {
	p, client := idle(true, podOn("one", "a", "1"))
	must(t, podClient{client.CoreV1(), p}.Pods("default").Delete(t.Context(), "one", metav1.DeleteOptions{}))
	if _, err := client.CoreV1().Pods("default").Get(t.Context(), "one", metav1.GetOptions{}); err != nil {
		t.Errorf("after its deletion: %v", err)
	}
}
