package probes

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/provider/plan"
)

func TestReadinessFollowsTheModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		p.sets(pod)
		p.expects(pod, true, false, false)
		passes(0)
		if got := p.of(pod).Message; !strings.HasPrefix(got, "Readiness probe failed: dial tcp 192.0.2.1:8080: connection refused") {
			t.Errorf("it says %q", got)
		}
		p.opens(port)
		passes(10 * time.Second)
		p.expects(pod, true, true, false)
		if is := p.of(pod); is.Message != "" || !is.Since.Equal(&pod.Status.ContainerStatuses[0].State.Running.StartedAt) {
			t.Errorf("%+v", is)
		}
		p.closes(port)
		woken := p.woken(node)
		passes(20 * time.Second)
		p.expects(pod, true, true, false)
		if p.woken(node) != woken {
			t.Error("the base is woken although nothing changed")
		}
		passes(10 * time.Second)
		p.expects(pod, true, false, false)
		if p.woken(node) != woken+1 {
			t.Errorf("the base is woken %d times by one change", p.woken(node)-woken)
		}
	})
}

func TestLivenessEndsAModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withLiveness)
		p.sets(pod)
		passes(15 * time.Second)
		p.expects(pod, true, true, false)
		passes(10 * time.Second)
		p.expects(pod, true, true, true)
		asked := p.asked(port)
		passes(time.Minute)
		if p.asked(port) != asked {
			t.Error("it is probed although it is to be installed anew")
		}
		// It is installed anew: nothing of what was found counts.
		now := metav1.Now()
		pod.Pod = pod.DeepCopy()
		pod.Status.ContainerStatuses[0].State.Running.StartedAt = now
		p.opens(port)
		p.sets(pod)
		p.expects(pod, true, true, false)
		passes(time.Minute)
		p.expects(pod, true, true, false)
		if p.asked(port) <= asked {
			t.Error("the new one is not probed")
		}
	})
}

func TestStartupGatesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withStartup, withReadiness, func(c *corev1.Container) { c.StartupProbe.FailureThreshold = 30 })
		p.sets(pod)
		passes(25 * time.Second)
		p.expects(pod, false, false, false)
		if got := p.asked(port); got != 3 {
			t.Errorf("asked %d times in 25 s", got)
		}
		p.opens(port)
		passes(5 * time.Second)
		p.expects(pod, true, true, false) // readiness is asked for at once then
	})
}

// Whoever takes a base over knows of its modules what their pods say, and probes them
// spread over a period.
func TestATakeoverMakesNoReadyPodUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runs(t, Config{})
		var pods []plan.Pod
		yes := true
		for n := range 100 {
			pod := serving(fmt.Sprint(n), withStartup, withReadiness)
			pod.Status.ContainerStatuses[0].Ready, pod.Status.ContainerStatuses[0].Started = true, &yes
			pods = append(pods, pod)
		}
		passes(time.Hour)
		p.opens(port)
		p.sets(pods...)
		for _, pod := range pods {
			p.expects(pod, true, true, false)
		}
		passes(0)
		if got := p.asked(port); got > 10 {
			t.Errorf("%d of 100 probes are made at once", got)
		}
		passes(10 * time.Second)
		if got := p.asked(port); got != 100 {
			t.Errorf("%d probes in the first period, of 100 modules", got)
		}
		if p.woken(node) != 0 {
			t.Error("the base is woken although nothing changed")
		}
	})
}

// The status that a takeover begins with may be old: until something is found out here,
// the newest one counts.
func TestTheNewestStatusCountsUntilItIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		passes(time.Hour)
		p.opens(port)
		status := &pod.Status.ContainerStatuses[0]
		status.Ready = true
		p.sets(pod)
		p.expects(pod, true, true, false)
		status.Ready = false
		p.sets(pod)
		p.expects(pod, true, false, false)
		passes(10 * time.Second)
		p.expects(pod, true, true, false)
		p.sets(pod)
		p.expects(pod, true, true, false)
	})
}

func TestForgottenMeansNoProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		p.sets(pod)
		passes(time.Second)
		p.Forget(node)
		asked := p.asked(port)
		passes(time.Minute)
		if p.Results(node) != nil || p.asked(port) != asked || len(p.queue.order) != 0 {
			t.Error("it is probed still")
		}
		// One that is in flight is said to nobody, though the Node has come back meanwhile.
		p.alters(func() { p.hangs[port] = true })
		again := serving("b", withReadiness)
		p.sets(again)
		passes(500 * time.Millisecond)
		if p.asked(port) != asked+1 {
			t.Fatal("nothing is in flight")
		}
		p.Forget(node)
		events, woken := len(p.told()), p.woken(node)
		p.sets(again)
		passes(700 * time.Millisecond)
		if len(p.told()) != events || p.woken(node) != woken {
			t.Error("what was forgotten is told")
		}
	})
}

func TestWhatDoesNotRunIsNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runs(t, Config{})
		waiting := serving("waiting", withReadiness)
		waiting.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
		gone := serving("gone", withReadiness)
		gone.Gone = true
		p.sets(waiting, gone, serving("none"))
		passes(time.Minute)
		if p.asked(port) != 0 || len(p.Results(node)) != 0 {
			t.Errorf("%d probes, results %v", p.asked(port), p.Results(node))
		}
		exec := serving("exec", func(c *corev1.Container) {
			c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
		})
		p.sets(exec)
		p.expects(exec, true, true, false) // as one without a probe
	})
}

func TestAPausedBaseIsNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness, withLiveness)
		p.opens(port)
		p.sets(pod)
		passes(time.Second)
		p.Pause(node)
		p.closes(port)
		asked := p.asked(port)
		passes(5 * time.Minute)
		p.expects(pod, true, true, false)
		if p.asked(port) != asked {
			t.Error("it is probed")
		}
		p.sets(pod)
		passes(30 * time.Second)
		p.expects(pod, true, false, true)
	})
}

// What is asked at an address is no news of who is at another one.
func TestABaseThatMovedIsAskedAtItsNewPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		pod.Status.ContainerStatuses[0].Ready = true
		pod.Spec.Containers[0].ReadinessProbe.FailureThreshold = 1
		p.alters(func() { p.hangs[port] = true })
		p.sets(pod)
		passes(500 * time.Millisecond)
		p.Set(node, "192.0.2.2", []plan.Pod{pod})
		passes(time.Second)
		p.expects(pod, true, true, false)
		passes(10 * time.Second)
		p.expects(pod, true, false, false)
		if p.asked("192.0.2.2:8080") != 1 {
			t.Error("it is not asked at its new address")
		}
	})
}

func TestAPodThatLeavesNeedNotLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness, withLiveness)
		now := metav1.Now()
		pod.DeletionTimestamp = &now
		p.opens(port)
		p.sets(pod)
		passes(time.Second)
		p.expects(pod, true, true, false)
		p.closes(port)
		passes(time.Minute)
		p.expects(pod, true, false, false)
		if got := p.counted(); got["Liveness successful"]+got["Liveness failed"] != 0 {
			t.Errorf("its liveness is probed: %v", got)
		}
	})
}

// One base with 1,000 probes that hang delays no other's.
func TestAHangingBaseDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runs(t, Config{Workers: 32})
		var hang []plan.Pod
		for n := range 1000 {
			hang = append(hang, serving(fmt.Sprint("hang", n), withReadiness))
		}
		p.alters(func() { p.hangs["192.0.2.9:8080"] = true })
		p.Set("vnode.hangs", "192.0.2.9", hang)
		passes(time.Minute)
		p.opens(port)
		pod := serving("a", withReadiness)
		p.sets(pod)
		passes(0)
		p.expects(pod, true, true, false)
		asked := p.asked(port)
		passes(time.Minute)
		if got := p.asked(port) - asked; got != 6 {
			t.Errorf("%d probes in a minute, want 6", got)
		}
		if got := p.asked("192.0.2.9:8080"); got < 16*60 {
			t.Errorf("the hanging base has %d probes in two minutes", got)
		}
	})
}

func TestEventsAreAKubeletsAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		p.alters(func() { p.at[port] = fmt.Errorf("no way to http://admin:pa55word@shop/?token=s3cret\x1b[31m") })
		p.sets(pod)
		passes(4 * time.Minute)
		want := "Warning Unhealthy Readiness probe errored and resulted in unknown state: no way to http://shop/ [31m"
		if got := p.told(); len(got) != 1 || strings.Contains(got[0], "pa55word") || strings.Contains(got[0], "s3cret") || strings.Contains(got[0], "\x1b") || !strings.HasPrefix(got[0], want[:70]) {
			t.Errorf("told %q", got)
		}
		if got := p.about[0]; got.UID != pod.UID {
			t.Errorf("it is about %+v", got)
		}
		p.closes(port)
		passes(10 * time.Second)
		if got := p.told(); len(got) != 2 || got[1] != "Warning Unhealthy Readiness probe failed: dial tcp 192.0.2.1:8080: connection refused" {
			t.Errorf("told %q", got)
		}
		passes(10 * time.Minute)
		if got := len(p.told()); got != 4 {
			t.Errorf("%d Events in ten more minutes of the same", got-2)
		}
		// Many modules of one base that fail: so many Events, and no more.
		var pods []plan.Pod
		for n := range 500 {
			pods = append(pods, serving(fmt.Sprint(n), withReadiness))
		}
		before := len(p.told())
		p.sets(pods...)
		passes(20 * time.Second)
		if got := len(p.told()) - before; got > baseEvents+3 {
			t.Errorf("%d Events of one base at once", got)
		}
	})
}

func TestAnEventNamesItsContainerAmongSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "stock"})
		p.sets(pod)
		passes(0)
		if got := p.told(); len(got) != 1 || !strings.HasSuffix(got[0], "connection refused (container orders)") {
			t.Errorf("told %q", got)
		}
	})
}

func TestProbesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runs(t, Config{})
		p.opens(port)
		named := serving("b", func(c *corev1.Container) {
			c.LivenessProbe = tcpProbe()
			c.LivenessProbe.TCPSocket.Port = intstr.FromString("web")
		})
		p.sets(serving("a", withReadiness), named)
		passes(0)
		p.closes(port)
		passes(10 * time.Second)
		if got := fmt.Sprint(p.counted()); got != "map[Liveness unknown:2 Readiness failed:1 Readiness successful:1]" {
			t.Errorf("counted %s", got)
		}
	})
}

// Without anything to probe nothing is kept.
func TestNothingIsKeptOfABaseWithoutProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runs(t, Config{})
		p.sets(serving("a"))
		if len(p.bases) != 0 {
			t.Error("a base without probes is kept")
		}
		p.sets(serving("b", withReadiness))
		passes(0)
		p.sets(serving("a"))
		passes(time.Minute)
		if len(p.bases) != 0 || len(p.queue.order) != 0 {
			t.Error("a base whose pods with probes are gone is kept")
		}
	})
}

// What a module answers may quote what it was given, and what the modules beside it were.
func TestAnEventQuotesNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pod := runs(t, Config{}), serving("a", withReadiness)
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PASSWORD", Value: "alphabet"}}
		beside := serving("b")
		beside.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "KEY", Value: "bravo//key@charlie"}}
		says := func(text string) { p.alters(func() { p.at[port] = errors.New(text) }) }
		says("login with alphabet to https://u:p@repo/x refused,\nor with bravo//key@charlie")
		p.sets(pod, beside)
		passes(time.Minute)
		says("alphabet again")
		passes(3 * time.Minute)
		told := strings.Join(append(p.told(), p.of(pod).Message), "\n")
		for _, secret := range []string{"alphabet", "bravo", "charlie", "u:p"} {
			if strings.Contains(told, secret) {
				t.Errorf("%q is in %s", secret, told)
			}
		}
		if want := "login with xxxxx to https://repo/x refused, or with xxxxx"; !strings.Contains(told, want) || !strings.Contains(told, "xxxxx again") {
			t.Errorf("it says %s", told)
		}
	})
}
