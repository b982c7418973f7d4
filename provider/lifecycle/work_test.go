package lifecycle

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
)

// A pod is written where its status differs, and deleted where it is finished. Of one that
// is gone nobody reads the status.
func TestWhatIsWrittenOfAPod(t *testing.T) {
	uses := func(memory string) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{Name: "orders", AllocatedResources: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}}
	}
	running := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: new(metav1.Unix(1, 0)), ContainerStatuses: uses("1Ki")}
	status := func(gone, finished bool, want corev1.PodStatus) plan.PodStatus {
		pod := podWith("u1", "orders:1")
		pod.Status = running
		return plan.PodStatus{Pod: plan.Pod{Pod: pod, Gone: gone}, Status: want, Finished: finished}
	}
	same := running
	same.StartTime, same.PodIPs, same.ContainerStatuses = new(metav1.NewTime(time.Unix(1, 0).UTC())), []corev1.PodIP{}, uses("1024")
	told := running
	told.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Unix(1, 0)}}
	for _, c := range []struct {
		name     string
		status   plan.PodStatus
		rewrites bool
		finishes bool
	}{
		{"the same, told otherwise", status(false, false, same), false, false},
		{"another condition", status(false, false, told), true, false},
		{"the same", status(false, false, running), false, false},
		{"another status", status(false, false, corev1.PodStatus{}), true, false},
		{"gone, another status", status(true, false, corev1.PodStatus{}), false, false},
		{"gone and finished", status(true, true, running), false, true},
		{"finished, the same", status(false, true, running), false, true},
		{"finished, another status", status(false, true, corev1.PodStatus{}), false, true},
	} {
		got := podWritesOf([]plan.PodStatus{status(false, false, running), c.status})
		if rewrites, finishes := len(got.rewrite) == 1, len(got.finish) == 1; rewrites != c.rewrites || finishes != c.finishes {
			t.Errorf("%s: rewritten %v, finished %v", c.name, rewrites, finishes)
		}
		if got.none() != (!c.rewrites && !c.finishes) {
			t.Errorf("%s: nothing is to be written: %v", c.name, got.none())
		}
	}
}

// A pod is ended once its module is gone; of one that vanished nothing is written before.
func TestPodsThatEnd(t *testing.T) {
	serves := []string{
		"1.5s pod u1 orders:1", "1.5s turn", "1.6s answer install orders:1 done", "1.6s turn", "1.7s list orders:1", "1.7s turn",
	}
	for _, verb := range []string{"terminate", "nopod"} {
		s := told(t, served, serves)
		do := s.turnAt(3*time.Second, verb+" u1")
		if got := modules(do.Talk.Send); !slices.Equal(got, []string{"uninstall orders:1"}) || len(do.Write.Finish) > 0 {
			t.Fatalf("%s: to send %v, to end %v", verb, got, do.Write.Finish)
		}
		s.perform(do)
		s.do("4s answer uninstall orders:1 done")
		s.do("4s turn")
		if do = s.turnAt(5 * time.Second); len(do.Write.Finish) > 0 {
			t.Errorf("%s: it is ended because of the answer alone", verb)
		}
		do = s.turnAt(5*time.Second, "list")
		if len(do.Write.Finish) != 1 || do.Write.Finish[0].Pod.UID != "u1" || len(do.Write.Pods) > 0 {
			t.Errorf("%s: to end %v, to write %v", verb, do.Write.Finish, do.Write.Pods)
		}
	}
}

// The modules of a Pod that was being deleted are gone with it. One that left our sight may run.
func TestOnlyADeletedPodTakesItsModulesWithIt(t *testing.T) {
	bound := "heartbeat shop tunnel=http port=1238 workload=ns/shop-0/1"
	serves := []string{
		"0s link up tunnel=http", "1s " + bound, "1s claim 1", "1s turn", "1s turn",
		"1.1s health 1h tunnel=http", "1.1s list orders:1 tunnel=http", "1.2s pod u1 orders:1", "1.2s turn", "2s terminate u1",
	}
	for _, c := range []struct {
		name string
		told []string
		ends bool
	}{
		{"it left our sight", nil, false},
		{"it was being deleted", []string{"2s workload ends", "2s turn"}, true},
		{"another one was", []string{"2s workload ends", "2s turn", "3s workload gone", "3s heartbeat shop tunnel=http port=1238 workload=ns/shop-0/2", "3s turn"}, false},
	} {
		do := told(t, serves, c.told).turnAt(4*time.Second, "workload gone")
		if ends := len(do.Write.Finish) == 1; ends != c.ends {
			t.Errorf("%s: ended %v", c.name, ends)
		}
	}
}

// A claim that ends now, or a base that drains, is sent nothing; what its pods show is
// written.
func TestNothingIsSentThatWouldComeTooLate(t *testing.T) {
	for _, claim := range []string{"claim 1 ends=now", "claim 1 draining"} {
		do := told(t, served).turnAt(2*time.Second, claim, "pod u1 orders:1")
		if len(do.Talk.Send) > 0 || len(do.Write.Pods) != 1 || do.Drained {
			t.Errorf("%s: to send %v, to write %v, drained %v", claim, do.Talk.Send, do.Write.Pods, do.Drained)
		}
	}
}

// What is sent must reach the base and nobody else, whatever its Node shows.
func TestWhomCommandsReach(t *testing.T) {
	for _, c := range []struct {
		name string
		told []string
		age  Age
		want bool
	}{
		{"a base that is heard", nil, Age{}, true},
		{"its Pod is being deleted", []string{"2s workload ends"}, Age{}, true},
		{"its Pod is gone: its address may be anybody's", []string{"2s workload gone"}, Age{}, false},
		{"its Pod was not seen yet: it may be gone", []string{"2s workload unseen", "2s turn"}, Age{}, false},
		{"it is silent", nil, Age{NotReady: plan.ReasonBaseSilent}, false},
		{"it was not heard over this link", []string{"2s link down", "3s link up", "3s turn"}, Age{}, false},
	} {
		s := told(t, served, c.told)
		if got := s.base.live(s.observe(), c.age); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
