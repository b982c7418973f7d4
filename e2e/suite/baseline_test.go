package suite

import (
	"fmt"
	"testing"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// A base starts and asks what to install, with five pods on it of which one has a bad jar: four
// run, and the fifth's pod says why. Of three replicas its owner alone answers it, which for a new
// base is the one that the hash names. When it starts once more its owner is killed in the middle;
// nothing is installed twice.
func TestABaselineWithABadJar(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithReplicas(3, "LIST_INTERVAL=2s")
	w.WithFleet(1, "--install-time", "2s") // all replicas hear that it starts
	base := world.BaseID(1)
	w.AwaitNodesReady(1)
	bad := "file:///opt/modules/none.jar"
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": bad, "missing": true}))
	good := []string{"orders", "prices", "stock", "users"}
	want := []string{}
	for _, name := range good {
		w.CreatePod(name, base, name, "1.0.0", world.Jar(name, "1.0.0"))
		want = append(want, name+":1.0.0")
	}
	w.CreatePod("bad", base, "bad", "1.0.0", bad)
	for _, name := range good {
		w.AwaitReady(name)
	}
	saysWhy := func() error {
		p, err := w.GetPod("bad")
		if err != nil {
			return err
		}
		if shown := world.Waiting(*p); !world.ContainsAny(shown, "InstallFailed: ", "InstallBackOff: ") || !world.ContainsAny(shown, "none.jar") {
			return fmt.Errorf("its pod shows %q", shown)
		}
		return nil
	}
	w.Eventually(world.Timeout, saysWhy)
	if n := answers(w, base, 0); n != 1 {
		t.Errorf("new, it had %d answers, want one", n)
	}
	w.AwaitPlaced() // its owner is whom the hash names: nothing has moved since it was new
	onlyItsOwnerSpeaks(w, base)
	started := len(commandsOf(w, base))
	w.Must(w.Fleet.Do(base, "restart"))
	w.AwaitServing(base, want...)
	if n := answers(w, base, started); n != 1 {
		t.Errorf("owned, it had %d answers, want one", n)
	}
	onlyItsOwnerSpeaks(w, base)

	before, err := w.Fleet.Base(base)
	w.Must(err)
	w.Must(w.Fleet.Do(base, "restart"))
	w.Eventually(world.Timeout, func() error { // some modules serve again, some are being installed, and some wait
		now, err := w.Fleet.Serving(base)
		if err == nil && len(now) == 0 {
			err = fmt.Errorf("nothing serves yet")
		}
		return err
	})
	w.Must(w.ReplicaOf(w.Owners()[w.NodeName(base)].Holder).Kill())
	w.AwaitServing(base, want...)
	for _, name := range good {
		w.AwaitReady(name)
	}
	w.Eventually(world.Timeout, saysWhy)

	after, err := w.Fleet.Base(base)
	w.Must(err)
	for _, module := range want {
		if n := after.Installs[module] - before.Installs[module]; n != 1 {
			t.Errorf("%s was installed %d times since the base started, want once", module, n)
		}
	}
	if answers(w, base, len(before.Commands)) == 0 { // the next owner may answer once more
		t.Error("the base had no answer")
	}
	if len(after.Uninstalls) > 0 {
		t.Errorf("uninstalled: %v", after.Uninstalls)
	}
}

// onlyItsOwnerSpeaks checks that no other replica has sent a World's only base anything, not even
// an answer to what it asks at its start; and that it had its owner from the beginning.
func onlyItsOwnerSpeaks(w *world.World, base string) {
	w.Helper()
	owned := w.Owners()[w.NodeName(base)]
	if owned.Epoch > 1 {
		w.Errorf("the base had %d owners", owned.Epoch)
	}
	owner := w.ReplicaOf(owned.Holder)
	for _, c := range w.Replicas {
		n, err := c.Metric("module_controller_tunnel_commands_total", "kind=")
		w.Must(err)
		if spoke := n > 0; spoke != (c == owner) {
			w.Errorf("a replica sent %v commands and questions; the owner is %s", n, owned.Holder)
		}
	}
}

// commandsOf gives what a base was told, in order.
func commandsOf(w *world.World, base string) []harness.SimCommand {
	w.Helper()
	b, err := w.Fleet.Base(base)
	w.Must(err)
	return b.Commands
}

// answers counts those to what a base asks at its start, after its first commands.
func answers(w *world.World, base string, after int) (n int) {
	w.Helper()
	for _, c := range commandsOf(w, base)[after:] {
		if world.IsBaseline(c) {
			n++
		}
	}
	return n
}
