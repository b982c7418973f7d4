package plan

import (
	"fmt"
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

// A ReplicaSet that makes its pods here again and again has few of them end: each waits
// twice as long as the one before, up to an hour, until there was none for long.
func TestRejectionsBackOff(t *testing.T) {
	s := newSim(overMQTT)
	own(s.pod("first", "orders", "1", urlOf("orders", "1")), "w", 1)
	s.rounds(3)
	rejected := 0
	day := func(d time.Duration, pods bool) (n int) {
		for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(20 * time.Second) {
			if pods && len(s.pods) < 3 {
				own(s.pod(fmt.Sprint("p", rejected, len(s.pods)), "orders", "1", urlOf("orders", "1")), "w", 1)
			}
			was := len(s.pods)
			s.in.Seen.Listed = s.now
			s.round()
			rejected, n = rejected+was-len(s.pods), n+was-len(s.pods)
		}
		return n
	}
	if n := day(8*time.Minute, true); n != 4 {
		t.Errorf("%d pods ended in the first minutes, want 2 after one and 2 after three", n)
	}
	if n := day(24*time.Hour, true); n < 40 || n > 70 {
		t.Errorf("%d pods ended in a day, want about 2 an hour", n)
	}
	s.pods = s.pods[:1]
	day(rejectForget+time.Minute, false)
	if n := day(2*time.Minute, true); n != 2 {
		t.Errorf("after a long time without any %d pods ended, want 2 after a minute", n)
	}
}

// What is planned again before it is written counts once.
func TestARejectionIsCountedOnce(t *testing.T) {
	yes := true
	mine := func(p *Pod) {
		p.Workload, p.Revision = "w", 1
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", UID: "u", Controller: &yes}}
	}
	in := onBase("orders:1 activated").with(podFor("a", "orders:1", age(time.Hour), mine), podFor("b", "orders:1", mine))
	in.Memory.Duplicates = map[types.UID]time.Time{"b": noon.Add(-rejectAfter)}
	for range 3 {
		out := Modules(in)
		if got := out.Memory.Rejections["u"]; statusIn(out, "b").Status.Phase != corev1.PodFailed || got.Rounds != 0 || !got.At.Equal(noon) {
			t.Fatalf("it is %s, rejections %+v", statusIn(out, "b").Status.Phase, got)
		}
		in.Memory, in.Now = out.Memory, in.Now.Add(time.Second)
	}
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
