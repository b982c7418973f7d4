package provider

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
)

// A new owner's view of pods may be older than its claim.
func TestAViewOfPodsIsAsNewAsAList(t *testing.T) {
	pod := func(uid, version string) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), ResourceVersion: version}}
	}
	live := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "100"}, Items: []corev1.Pod{pod("a", "90"), pod("b", "95")}}
	for _, c := range []struct {
		name string
		seen []corev1.Pod
		gone string
		want bool
	}{
		{"the same", []corev1.Pod{pod("a", "90"), pod("b", "95")}, "", true},
		{"newer", []corev1.Pod{pod("a", "101"), pod("b", "95"), pod("c", "102")}, "", true},
		{"one gone from the API that waits for its base", []corev1.Pod{pod("a", "90"), pod("b", "95"), pod("c", "80")}, "c", true},
		{"one is missing", []corev1.Pod{pod("a", "90")}, "", false},
		{"one is older", []corev1.Pod{pod("a", "90"), pod("b", "94")}, "", false},
		{"one was deleted", []corev1.Pod{pod("a", "90"), pod("b", "95"), pod("c", "80")}, "", false},
	} {
		var seen []plan.Pod
		for _, p := range c.seen {
			seen = append(seen, plan.Pod{Pod: &p, Gone: string(p.UID) == c.gone})
		}
		if got := upToDate(seen, live); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
