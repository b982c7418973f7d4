package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The second of two pods of one revision ends after a minute, once, and the first serves on.
func TestASecondPodOfARevisionIsRejected(t *testing.T) {
	s := newSim(overMQTT)
	own(s.pod("first", "orders", "1", urlOf("orders", "1")), "w", 1)
	s.rounds(3)
	second := own(s.pod("second", "orders", "1", urlOf("orders", "1")), "w", 1)
	s.during(rejectAfter - 4*time.Second)
	if second.Status.Phase != corev1.PodPending {
		t.Errorf("within a minute it is %s", second.Status.Phase)
	}
	told := s.during(time.Minute)
	if st := second.Status; st.Phase != corev1.PodFailed || st.Reason != ReasonDuplicate || told[ReasonDuplicate] != 1 {
		t.Errorf("it is %s %s: %s; events %v", st.Phase, st.Reason, st.Message, told)
	}
	s.want(t, map[string]string{"first": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1")
}

func TestWhoIsRejected(t *testing.T) {
	owned := func(kind string, uid types.UID) func(*Pod) {
		yes := true
		return func(p *Pod) {
			p.Workload, p.Revision = "w", 1
			p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, UID: uid, Controller: &yes}}
		}
	}
	mine := owned("ReplicaSet", "u")
	for _, c := range []struct {
		name        string
		holder, pod func(*Pod)
		waited      time.Duration
		ready, want bool
	}{
		{name: "a ReplicaSet's", holder: mine, pod: mine, waited: rejectAfter, ready: true, want: true},
		{name: "not yet", holder: mine, pod: mine, waited: rejectAfter - time.Second, ready: true},
		{name: "on a base that is away", holder: mine, pod: mine, waited: rejectAfter},
		{name: "a StatefulSet's", holder: owned("StatefulSet", "u"), pod: owned("StatefulSet", "u"), waited: time.Hour, ready: true},
		{name: "a DaemonSet's", holder: owned("DaemonSet", "u"), pod: owned("DaemonSet", "u"), waited: time.Hour, ready: true},
		{name: "a bare one", holder: bare, pod: bare, waited: time.Hour, ready: true},
		{name: "another ReplicaSet has it", holder: owned("ReplicaSet", "other"), pod: mine, waited: time.Hour, ready: true},
	} {
		in := onBase("orders:1 activated").with(podFor("a", "orders:1", age(time.Hour), c.holder), podFor("b", "orders:1", c.pod))
		in.Memory.Duplicates = map[types.UID]time.Time{"b": noon.Add(-c.waited)}
		in.Live = c.ready
		if got := statusIn(Modules(in), "b").Status.Phase == corev1.PodFailed; got != c.want {
			t.Errorf("%s: rejected %v", c.name, got)
		}
	}
}
