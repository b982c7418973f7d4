package suite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// impatient is how long replicas wait for answers where those come late: 20 s for that of an
// install, and 5 s for that of an uninstall or a switch, of which a request over HTTP waits 3.
var impatient = []string{"LIST_INTERVAL=1s", "COMMAND_TIMEOUT=20s", "HTTP_TUNNEL_TIMEOUT=3s"}

// onEachTunnel runs a test with one base over MQTT, and with one over HTTP.
func onEachTunnel(t *testing.T, test func(w *world.World), args ...string) {
	t.Helper()
	fleetOnEachTunnel(t, 1, []string{"LIST_INTERVAL=1s"}, test, args...)
}

// fleetOnEachTunnel runs a test with so many bases over MQTT, and with as many over HTTP.
func fleetOnEachTunnel(t *testing.T, bases int, settings []string, test func(w *world.World), args ...string) {
	t.Helper()
	t.Run("MQTT", func(t *testing.T) {
		t.Parallel()
		w := cluster.New(t).WithBroker().WithFleet(bases, args...).WithController(settings...)
		w.AwaitNodesReady(bases)
		test(w)
	})
	t.Run("HTTP", func(t *testing.T) {
		t.Parallel()
		w := cluster.New(t).WithHTTP().WithController(settings...).WithHTTPFleet(bases, args...)
		w.AwaitNodesReady(bases)
		test(w)
	})
}

const base = "base-0001"

// has a base have something happen to it.
func has(w *world.World, happening string) {
	w.Helper()
	w.Must(w.Fleet.Do(base, happening))
}

// commands counts those that the base got for a module.
func commands(w *world.World, command, module string) (n int) {
	w.Helper()
	b, err := w.Fleet.Base(base)
	w.Must(err)
	for _, c := range b.Commands {
		if c.Command == command && c.Module == module {
			n++
		}
	}
	return n
}

// awaitState waits until a module is in a state on the base; "" is gone.
func awaitState(w *world.World, name, state string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		b, err := w.Fleet.Base(base)
		is := ""
		for _, m := range b.Modules {
			if m.Name == name {
				is = m.State
			}
		}
		if err == nil && is != state {
			err = fmt.Errorf("module %s is %q, want %q", name, is, state)
		}
		return err
	})
}

// A module that never ends its start holds up no other, and is no longer waited for when
// its base restarts. As many as COMMANDS_PER_BASE leave room for others after five minutes,
// which no setting shortens: TestAStartThatNeverEnds in provider/plan has them.
func TestAStartThatHangsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	onEachTunnel(t, func(w *world.World) {
		has(w, "hang-starts?n=1")
		w.CreatePod("hung", base, "hung", "1.0.0", world.Jar("hung", "1.0.0"))
		awaitState(w, "hung", "resolved")
		w.CreatePod("other", base, "other", "1.0.0", world.Jar("other", "1.0.0"))
		w.AwaitReady("other")
		w.DeletePod("other")
		w.AwaitGone("other", 10*time.Second)
		if n := commands(w, "installBiz", "hung:1.0.0"); n != 1 {
			w.Errorf("%d installs were sent of what is starting", n)
		}
		has(w, "restart")
		timed(w, "ready after the restart", 20*time.Second, func() { w.AwaitReady("hung") })
	})
}

// The end of a start that hung is acted on at once: the pod that was deleted meanwhile
// goes, and the module with it.
func TestAPodWhoseStartHungLeavesAfterIt(t *testing.T) {
	t.Parallel()
	onEachTunnel(t, func(w *world.World) {
		has(w, "hang-starts?n=1")
		w.CreatePod("hung", base, "hung", "1.0.0", world.Jar("hung", "1.0.0"))
		awaitState(w, "hung", "resolved")
		w.DeletePod("hung")
		has(w, "end-starts")
		w.AwaitGone("hung", 15*time.Second)
		w.AwaitServing(base)
	})
}

// A pod that loses the label of modules ends, and its module with it: nobody would confirm
// its deletion.
func TestAPodThatLosesItsLabelEnds(t *testing.T) {
	t.Parallel()
	onEachTunnel(t, func(w *world.World) {
		p := w.CreatePod("lost", base, "orders", "1.0.0", world.Jar("orders", "1.0.0"))
		w.AwaitReady("lost")
		w.Kubectl("-n", w.Env, "label", "pod/lost", component+"-")
		w.AwaitServing(base)
		w.Eventually(world.Timeout, func() error {
			now, err := w.GetPod("lost")
			switch {
			case err != nil:
				return err
			case now.UID != p.UID, now.Status.Phase != corev1.PodFailed, now.Status.Reason != "NotAModule", world.PodReady(*now):
				return fmt.Errorf("it shows %s, reason %q, ready %v", now.Status.Phase, now.Status.Reason, world.PodReady(*now))
			}
			return nil
		})
		w.DeletePod("lost")
		w.AwaitGone("lost", 10*time.Second)
	})
}

// While the base cannot remove a version its pod and the next one say so, and once it can
// the next one is under way within a minute.
func TestAnUninstallThatFailsIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	onEachTunnel(t, func(w *world.World) {
		w.CreatePod("one", base, "orders", "1.0.0", world.Jar("orders", "1.0.0"))
		w.AwaitReady("one")
		has(w, "fail-uninstalls?n=all")
		w.DeletePod("one")
		w.CreatePod("two", base, "orders", "2.0.0", world.Jar("orders", "2.0.0"))
		w.Eventually(world.Timeout, func() error { return tells(w, "one", "Unable to delete file") })
		w.Eventually(world.Timeout, func() error { return tells(w, "two", "orders:1.0.0", "Unable to delete file") })
		has(w, "resume")
		timed(w, "the next version after uninstalls work again", time.Minute, func() {
			w.AwaitGone("one", time.Minute)
			w.AwaitReady("two")
		})
		w.AwaitServing(base, "orders:2.0.0")
	})
}

// tells gives no error once a pod shows all of parts, wherever in its status.
func tells(w *world.World, name string, parts ...string) error {
	p, err := w.GetPod(name)
	if err != nil {
		return err
	}
	shown := statusText(p)
	for _, part := range parts {
		if !strings.Contains(shown, part) {
			return fmt.Errorf("pod %s shows %q, want %q in it", name, shown, part)
		}
	}
	return nil
}

// statusText is all that a pod's status says in words.
func statusText(p *corev1.Pod) string {
	words := []string{p.Status.Reason, p.Status.Message, world.Waiting(*p)}
	for _, c := range p.Status.Conditions {
		words = append(words, c.Reason, c.Message)
	}
	return strings.Join(words, " ")
}

// An uninstall that is answered as done and is not is tried again, and its pod stays.
func TestAnUninstallThatLiesIsTriedAgain(t *testing.T) {
	t.Parallel()
	fleetOnEachTunnel(t, 1, []string{"LIST_INTERVAL=1s", "BACKOFF_BASE=2s"}, func(w *world.World) {
		w.CreatePod("one", base, "orders", "1.0.0", world.Jar("orders", "1.0.0"))
		w.AwaitReady("one")
		has(w, "keep-uninstalled?n=2")
		w.DeletePod("one")
		w.Eventually(world.Timeout, func() error { // the third one works
			if n := commands(w, "uninstallBiz", "orders:1.0.0"); n < 3 {
				return fmt.Errorf("%d uninstalls were sent", n)
			}
			return nil
		})
		w.AwaitGone("one", 30*time.Second)
		w.AwaitServing(base)
		if n := commands(w, "uninstallBiz", "orders:1.0.0"); n != 3 {
			w.Errorf("%d uninstalls were sent, want 3", n)
		}
	})
}

// A jar that takes long to fetch has not failed, though nothing is listed meanwhile: once no
// answer came in time it is asked for again with pauses that grow, which the base refuses.
func TestASlowDownloadIsNoFailure(t *testing.T) {
	t.Parallel()
	fleetOnEachTunnel(t, 1, impatient, func(w *world.World) {
		has(w, "slow-downloads?d=35s") // longer than an answer is waited for
		w.CreatePod("slow", base, "slow", "1.0.0", world.Jar("slow", "1.0.0"))
		w.Eventually(2*time.Minute, func() error {
			p, err := w.GetPod("slow")
			if err == nil && !world.PodReady(*p) {
				err = fmt.Errorf("pod shows %q", world.Waiting(*p))
			}
			return err
		})
		b, err := w.Fleet.Base(base)
		w.Must(err)
		if n := b.Installs["slow:1.0.0"]; n != 1 || len(b.Commands) < 2 || len(b.Commands) > 6 { // at 0, 20, 22, 26 and 34 s
			w.Errorf("%d installs took effect; sent were %v", n, b.Commands)
		}
		noEvent(w, "slow", "InstallFailed")
	})
}

// A module that takes long to stop has not failed to be uninstalled: it is asked for again
// with pauses, which the base refuses, and its pod leaves once it is gone.
func TestASlowUninstallIsNoFailure(t *testing.T) {
	t.Parallel()
	fleetOnEachTunnel(t, 1, impatient, func(w *world.World) {
		w.CreatePod("slow", base, "slow", "1.0.0", world.Jar("slow", "1.0.0"))
		w.AwaitReady("slow")
		has(w, "slow-uninstalls?d=20s") // longer than an answer is waited for
		w.DeletePod("slow")
		w.AwaitGone("slow", time.Minute)
		b, err := w.Fleet.Base(base)
		w.Must(err)
		if n := commands(w, "uninstallBiz", "slow:1.0.0"); n < 2 || n > 5 || b.Uninstalls["slow:1.0.0"] != 1 { // at 0, 10, 12 and 16 s
			w.Errorf("%d uninstalls took effect, %d were sent", b.Uninstalls["slow:1.0.0"], n)
		}
		noEvent(w, "slow", "UninstallFailed")
	})
}

// A switch that takes long, and of which no answer comes, takes no version away.
func TestASlowSwitchIsNoFailure(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP().WithController(impatient...).WithHTTPFleet(1)
	w.AwaitNodesReady(1)
	w.CreatePod("old", base, "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("old")
	has(w, "slow-switches?d=20s") // longer than an answer is waited for
	w.CreatePod("new", base, "orders", "2.0.0", world.Jar("orders", "2.0.0"))
	w.Eventually(time.Minute, func() error {
		p, err := w.GetPod("new")
		if err == nil && !world.PodReady(*p) {
			err = fmt.Errorf("pod shows %q", world.Waiting(*p))
		}
		return err
	})
	if n := commands(w, "installBiz", "orders:2.0.0"); n != 1 {
		w.Errorf("%d installs were sent", n)
	}
	noEvent(w, "new", "SwitchFailed")
}

// As many jars that take long to fetch as a base gets commands at a time (COMMANDS_PER_BASE)
// hold up no other module: once no answer came in time that one is installed, and each of
// them once.
func TestSlowDownloadsHoldUpNoOther(t *testing.T) {
	t.Parallel()
	slow := []string{"slow-0", "slow-1", "slow-2"}
	const download = 24 * time.Second
	fleetOnEachTunnel(t, 1, []string{"LIST_INTERVAL=1s", "COMMAND_TIMEOUT=4s"}, func(w *world.World) {
		for _, name := range slow {
			w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar(name, "1.0.0"), "name": name, "version": "1.0.0", "download": download}))
			w.CreatePod(name, base, name, "1.0.0", world.Jar(name, "1.0.0"))
		}
		w.Eventually(world.Timeout, func() error {
			for _, name := range slow {
				if commands(w, "installBiz", name+":1.0.0") == 0 {
					return fmt.Errorf("no install of %s was sent", name)
				}
			}
			return nil
		})
		w.CreatePod("other", base, "other", "1.0.0", world.Jar("other", "1.0.0"))
		timed(w, "ready beside three slow downloads", download/2, func() { w.AwaitReady("other") })
		for _, name := range slow {
			w.AwaitReady(name)
			noEvent(w, name, "InstallFailed")
		}
		b, err := w.Fleet.Base(base)
		w.Must(err)
		if c := w.Counts(); c.Installs != len(slow)+1 {
			w.Errorf("%d installs took effect, want %d; sent were %v", c.Installs, len(slow)+1, b.Commands)
		}
	})
}

// Lists that come late repeat nothing.
func TestLateListsRepeatNothing(t *testing.T) {
	t.Parallel()
	onEachTunnel(t, func(w *world.World) {
		has(w, "late-lists?d=3s")
		for _, name := range []string{"a", "b"} {
			w.CreatePod(name, base, name, "1.0.0", world.Jar(name, "1.0.0"))
		}
		for _, name := range []string{"a", "b"} {
			w.AwaitReady(name)
		}
		w.DeletePod("a")
		w.AwaitGone("a", 20*time.Second)
		w.AwaitServing(base, "b:1.0.0")
		if c := w.Counts(); c.Installs != 2 || c.Uninstalls != 1 {
			w.Errorf("%d installs and %d uninstalls, want 2 and 1", c.Installs, c.Uninstalls)
		}
	})
}

// noEvent checks that a pod has no Event of a reason.
func noEvent(w *world.World, pod, reason string) {
	w.Helper()
	events, err := cluster.Client.CoreV1().Events(w.Env).List(w.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + pod + ",reason=" + reason})
	w.Must(err)
	for _, e := range events.Items {
		w.Errorf("pod %s has an event %s: %s", pod, reason, e.Message)
	}
}
