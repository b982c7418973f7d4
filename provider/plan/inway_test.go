package plan

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A base that does not uninstall: the pod that ends and the one that follows say why, and
// once it does the next version is under way within a minute.
func TestAnUninstallThatFailsIsExplained(t *testing.T) {
	for keeps, why := range map[string]string{"files are held": "files are held", "-": "the base answered success, but still lists orders:1"} {
		t.Run(keeps, func(t *testing.T) {
			s := newSim(overMQTT)
			s.pod("v1", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.keepsAll = keeps
			s.delete("v1")
			s.pod("v2", "orders", "2", urlOf("orders", "2"))
			told := s.during(20 * time.Minute)
			if got := s.leaves("v1"); !strings.HasPrefix(got, "uninstall of orders:1 failed: "+why+" (tries: ") || !strings.HasSuffix(got, ", next after 1m0s)") {
				t.Errorf("v1: %q", got)
			}
			if got := s.message("v2"); got != "orders:2 waits: "+s.leaves("v1") {
				t.Errorf("v2: %q", got)
			}
			if n := told["UninstallFailed"]; n < 19 || n > 25 {
				t.Errorf("%d events in 20 minutes", n)
			}
			s.keepsAll = ""
			s.during(70 * time.Second)
			s.want(t, map[string]string{"v1": "gone", "v2": "Running"}, "orders:2")
		})
	}
}

// A module is uninstalled once its pod has waited as long as it asked to, and nobody takes
// its place before.
func TestAPodThatWaitsKeepsItsModule(t *testing.T) {
	sleepy := func(p *Pod) {
		ran(urlOf("orders", "1"))(p)
		grace := int64(30)
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 10}}}
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: noon.Add(25 * time.Second)}, &grace // it is noon - 5 s + 30 s
	}
	at := noon.Add(5 * time.Second)
	for _, c := range []struct {
		name        string
		list        []string
		others      []Pod
		before, due string
	}{
		{"alone", []string{"orders:1 activated"}, nil, "", "uninstall orders:1 for old"},
		{"a new version is proved meanwhile", []string{"orders:1 activated"}, []Pod{podFor("new", "orders:2")}, "install orders:2 for new", "uninstall orders:1 for old"},
		{"and waits then", []string{"orders:1 activated", "orders:2 deactivated"}, []Pod{podFor("new", "orders:2")}, "", "uninstall orders:1 for old"},
		{"at once waits too", []string{"orders:1 activated"}, []Pod{podFor("new", "orders:2", atOnce)}, "", "uninstall orders:1 for old"},
		{"the same version is taken over", []string{"orders:1 activated"}, []Pod{podFor("new", "orders:1")}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(podFor("old", "orders:1", age(time.Hour), sleepy)).with(c.others...)
			out := Modules(in)
			if commands(out) != c.before || out.Next.After(at) || out.Next.IsZero() {
				t.Errorf("before: commands %q, next %s", commands(out), out.Next)
			}
			in.Now = at
			if out = Modules(in); commands(out) != c.due {
				t.Errorf("then: commands %q", commands(out))
			}
		})
	}
}

// A rollout is undone while its pod has not been seen to run: its version serves, and the one
// before is there. That one is switched to first, so that one of them serves at each moment.
func TestWhatSwitchesGoesBeforeWhatLeaves(t *testing.T) {
	back := podFor("back", "orders:1", age(time.Hour), numbered("w", 3), ran(urlOf("orders", "1")))
	undone := func(change ...func(*Pod)) Pod {
		return podFor("undone", "orders:3", append([]func(*Pod){numbered("w", 2), waits(ReasonInstalling), sleeps(5), deletedAtNoon(30)}, change...)...)
	}
	stale := podFor("stale", "orders:2", numbered("w", 1), waits(ReasonSuperseded), deletedAtNoon(30))
	whole, stock := podFor("whole", "orders:1", age(time.Hour), numbered("w", 3)), podFor("stock", "stock:1")
	whole.Spec.Containers = append(whole.Spec.Containers, stock.Spec.Containers...)
	failed := func(p Purpose) func(*Input) {
		return func(in *Input) {
			in.Memory.Failures[module("orders:1")] = Failure{Purpose: p, Count: 1, At: noon, NotBefore: noon.Add(time.Minute), Message: "no"}
		}
	}
	both := []string{"orders:1 deactivated", "orders:3 activated"}
	for _, c := range []struct {
		name   string
		list   []string
		pods   []Pod
		change func(*Input)
		want   string
	}{
		{"both are there", both, []Pod{back, undone()}, nil, "switch orders:1 for back"},
		{"once it serves", []string{"orders:1 activated", "orders:3 deactivated"}, []Pod{back, undone()}, nil, "uninstall orders:3 for undone"},
		{"nothing serves", []string{"orders:1 deactivated", "orders:3 deactivated"}, []Pod{back, undone()}, nil, "switch orders:1 for back"},
		{"it was seen to run, and sleeps", both, []Pod{back, undone(ran(urlOf("orders", "3")))}, nil, ""},
		{"it has slept", both, []Pod{back, undone(ran(urlOf("orders", "3")))}, func(in *Input) { in.Now = noon.Add(5 * time.Second) }, "switch orders:1 for back"},
		{"it is deleted by force", both, []Pod{back, undone(gone)}, nil, "switch orders:1 for back"},
		{"two versions leave", []string{"orders:1 deactivated", "orders:2 deactivated", "orders:3 activated"}, []Pod{back, stale, undone()}, nil, "switch orders:1 for back"},
		{"one of them is starting", []string{"orders:1 deactivated", "orders:2 resolved", "orders:3 activated"}, []Pod{back, stale, undone()}, nil, ""},
		{"the base cannot switch", both, []Pod{back, undone()}, func(in *Input) { in.Seen.Features = overMQTT }, "uninstall orders:3 for undone"},
		{"it refused to", both, []Pod{back, undone()}, failed(ofSwitch), "uninstall orders:3 for undone"},
		{"an install of what is to serve failed", both, []Pod{back, undone()}, failed(from(urlOf("orders", "1"))), "uninstall orders:3 for undone"},
		{"the switch is not answered", both, []Pod{back, undone()}, func(in *Input) { *in = in.sent(switchTo("orders:1"), 2*time.Minute) }, "uninstall orders:3 for undone"},
		{"another module of its pod failed", append([]string{"stock:1 broken"}, both...), []Pod{whole, undone()}, func(in *Input) {
			in.Memory.Failures[module("stock:1")] = Failure{Purpose: from(urlOf("stock", "1")), Count: 1, At: noon, NotBefore: noon.Add(time.Minute), Message: "no"}
		}, "uninstall orders:3 for undone"},
		{"the one before is not there", []string{"orders:3 activated"}, []Pod{back, undone()}, nil, "uninstall orders:3 for undone"},
		{"it did not start", []string{"orders:1 broken", "orders:3 activated"}, []Pod{back, undone()}, nil, "uninstall orders:3 for undone"},
		{"nobody asks for it", both, []Pod{undone()}, nil, "uninstall orders:3 for undone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.pods...)
			in.Seen.Features = overHTTP
			if c.change != nil {
				c.change(&in)
			}
			if got := commands(Modules(in)); got != c.want {
				t.Errorf("commands %q, want %q", got, c.want)
			}
		})
	}
}

// Whatever order their versions have, the base serves one of the two from the rollout to the
// end of its undo.
func TestAnUndoLeavesNoGap(t *testing.T) {
	for _, versions := range [][2]string{{"1", "3"}, {"3", "1"}} {
		s := newSim(overHTTP)
		was, is := versions[0], versions[1]
		s.pod("old", "orders", was, urlOf("orders", was))
		s.rounds(4)
		s.pod("new", "orders", is, urlOf("orders", is))
		for s.serving() != "orders:"+is {
			s.round()
		}
		s.delete("new") // before it shows that it runs
		for range 10 {
			if s.round(); s.serving() == "" {
				t.Errorf("nothing serves: %v", s.log)
			}
		}
		s.want(t, map[string]string{"old": "Running", "new": "gone"}, "orders:"+was)
		s.wantLog(t, "install orders:"+was, "install orders:"+is, "switch orders:"+is, "switch orders:"+was, "uninstall orders:"+is)
	}
}

// A module that is dead by its probes is installed anew, not too often, and only for the
// start that was probed.
func TestADeadModuleIsInstalledAnew(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := newSim(overMQTT)
		s.plain, s.in.Memory.Plain = plain, plain
		p := s.pod("p", "orders", "1", urlOf("orders", "1"))
		s.rounds(4)
		killed := 0
		for range 150 { // five minutes of a probe that always fails
			if c := p.Status.ContainerStatuses[0]; c.State.Running != nil {
				s.probed = map[string]Probed{"orders": {Since: c.State.Running.StartedAt, Dead: "liveness probe failed: 503"}}
			}
			for _, e := range s.round().Events {
				if e.Reason == "Killing" {
					killed++
					if !strings.Contains(e.Message, "liveness probe failed: 503") {
						t.Errorf("event %q", e.Message)
					}
				}
			}
		}
		if n := int(p.Status.ContainerStatuses[0].RestartCount); killed < 4 || killed > 6 || n != killed { // at 0, 10, 30, 70, 150 s
			t.Errorf("plain %v: killed %d times, restarts %d", plain, killed, n)
		}
		s.probed = nil
		s.rounds(5)
		s.want(t, map[string]string{"p": "Running"}, "orders:1")
		s.during(forgiveAfter)
		if len(s.in.Memory.Failures) > 0 {
			t.Errorf("failures %v", s.in.Memory.Failures)
		}
	}
}

func TestWhatWasProbedOfAnEarlierStartSaysNothing(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("p", "orders:1", ran(urlOf("orders", "1")), unheard))
	in.Pods[0].Probed = map[string]Probed{"orders": {Since: metav1.NewTime(noon.Add(-time.Hour)), Dead: "liveness"}}
	if out := Modules(in); commands(out) != "" || shownBy(out, "p") != "Running" {
		t.Errorf("commands %q, it shows %q", commands(out), shownBy(out, "p"))
	}
	in.Pods[0].Probed = map[string]Probed{"orders": {Since: in.Pods[0].Status.ContainerStatuses[0].State.Running.StartedAt, Dead: "liveness"}}
	if out := Modules(in); commands(out) != "install orders:1 replacing for p" {
		t.Errorf("commands %q, it shows %q", commands(out), shownBy(out, "p"))
	}
}

// unheard makes a pod that runs unready, as one whose readiness probe fails.
func unheard(p *Pod) { p.Status.ContainerStatuses[0].Ready = false }

// A ConfigMap that gave a version and changed, or went, takes nothing away that runs.
func TestWhatRunsIsKnownFromTheStatus(t *testing.T) {
	runs := func(p *Pod) {
		ran(urlOf("orders", "1"))(p)
		p.Status.ContainerStatuses[0].ContainerID = "koupleless://b/orders:1"
	}
	to := func(version string) func(*Pod) {
		return func(p *Pod) { p.Spec.Containers[0].Env[0].Value = version }
	}
	for _, c := range []struct {
		name     string
		list     []string
		pod      Pod
		commands string
		shows    string
	}{
		{"the version changed", []string{"orders:1 activated"}, podFor("p", "orders:1", runs, to("2")), "", "Running"},
		{"and the base was restarted", nil, podFor("p", "orders:1", runs, to("2")), "install orders:2 for p", "Installing: orders:2 from file:///orders-1.jar"},
		{"the version cannot be read", []string{"orders:1 activated"}, podFor("p", "orders:1", runs, to(""), noSecret), "", "Running"},
		{"and the pod ends", []string{"orders:1 activated"}, podFor("p", "orders:1", runs, to(""), noSecret, terminating), "uninstall orders:1 for p", ""},
		{"the image is invalid", []string{"orders:1 activated"}, podFor("p", "orders:1", runs, image("ftp://x"), to("")), "", ""},
	} {
		in := onBase(c.list...).with(c.pod)
		ours(&in)
		if statusIn(Modules(in), "p").Finished {
			t.Errorf("%s: the pod is finished, and its module is there", c.name)
		}
		in.Memory.Unmanaged[module("orders:1")] = noon.Add(-time.Hour)
		out := Modules(in)
		if commands(out) != c.commands || c.shows != "" && shownBy(out, "p") != c.shows {
			t.Errorf("%s: commands %q, it shows %q", c.name, commands(out), shownBy(out, "p"))
		}
	}
}

// A jar of another name is told with the variable to set, and an unchanged URL is not tried
// again and again.
func TestAJarOfAnotherName(t *testing.T) {
	s := newSim(overMQTT)
	s.jar("file:///o.jar", "Order_Service", "1", "")
	s.pod("p", "order-service", "1", "file:///o.jar")
	s.during(59 * time.Minute)
	s.wantLog(t, "install order-service:1", "uninstall Order_Service:1")
	if got := s.message("p"); got != "asked for order-service:1, but the jar at file:///o.jar is Order_Service:1: set BIZ_NAME to Order_Service, or correct the image" {
		t.Errorf("it says %q", got)
	}
	s.jar("file:///o.jar", "order-service", "1", "")
	s.in.Seen.Started = s.now
	s.rounds(3)
	s.want(t, map[string]string{"p": "Running"}, "order-service:1")
}

func TestCorrect(t *testing.T) {
	r := resolver{newPlanner(onBase())}
	for is, want := range map[string]string{
		"orders:2": "set BIZ_VERSION to 2", "Orders:1": "set BIZ_NAME to Orders", "Orders:2": "set BIZ_NAME to Orders and BIZ_VERSION to 2",
	} {
		if got := r.correct(module("orders:1"), module(is)); got != want {
			t.Errorf("%s: %q, want %q", is, got, want)
		}
	}
}
