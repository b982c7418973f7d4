package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/election"
)

// team is a cluster with two members; the base is the first one's.
func team(now time.Time, change ...func(mc1 *coordinationv1.Lease)) *fake.Clientset {
	objects := cluster(now)
	other := objects[0].(*coordinationv1.Lease).DeepCopy()
	holder := "mc-1_00000001"
	other.Name, other.Spec.HolderIdentity, other.Annotations[prefix+"requests-obeyed-by"] = "mc-1", &holder, holder
	for _, c := range change {
		c(other)
	}
	return client(append(objects, other)...)
}

const vnode = "vnode.base-1.default"

// noted gives an annotation of a membership Lease.
func noted(t *testing.T, c *fake.Clientset, member, note string) string {
	t.Helper()
	l, err := c.CoordinationV1().Leases("module-controller").Get(t.Context(), member, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Annotations[note]
}

// A member is drained and taken back, and nothing else of its Lease changes.
func TestDrain(t *testing.T) {
	c := team(time.Now())
	text, err := run(t, c, "drain", "mc-0")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, text, []string{"mc-0 is cordoned", "gives up 1 bases", "drain mc-0 --undo"})
	if noted(t, c, "mc-0", election.CordonedNote) != "true" || noted(t, c, "mc-1", election.CordonedNote) != "" || noted(t, c, "mc-0", prefix+"version") != "v1" {
		t.Error("it is not what was asked for")
	}
	if text, err = run(t, c, "members"); err != nil {
		t.Fatal(err)
	}
	contains(t, text, []string{"serving,Cordoned"})
	if _, err := run(t, c, "drain", "mc-1"); err == nil || !strings.Contains(err.Error(), "no other member is ready to have the bases of default") {
		t.Errorf("the last one is drained: %v", err)
	}
	if _, err := run(t, c, "drain", "mc-1", "--force"); err != nil || noted(t, c, "mc-1", election.CordonedNote) != "true" {
		t.Errorf("by force: %v", err)
	}
	for _, name := range []string{"mc-0", "mc-1"} {
		if _, err := run(t, c, "drain", name, "--undo"); err != nil || noted(t, c, name, election.CordonedNote) != "" {
			t.Errorf("taken back: %v", err)
		}
	}
}

// It is waited until the member owns nothing, or the time is over.
func TestDrainWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := team(time.Now())
		if text, err := run(t, c, "drain", "mc-0", "--wait", "--timeout", "9s"); !errors.Is(err, errWrong) || !strings.Contains(text, "mc-0 owns 1 bases") {
			t.Errorf("it ends with %v:\n%s", err, text)
		}
		go func() {
			time.Sleep(5 * time.Second)
			give(t.Context(), c)
		}()
		began := time.Now()
		text, err := run(t, c, "drain", "mc-0", "--wait")
		if err != nil || time.Since(began) != 6*time.Second || strings.Count(text, "owns 1 bases") != 1 || !strings.HasSuffix(text, "done\n") {
			t.Errorf("after %s it ends with %v:\n%s", time.Since(began), err, text)
		}
	})
}

// give gives the base to mc-1.
func give(ctx context.Context, c *fake.Clientset) {
	leases := c.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	l, err := leases.Get(ctx, vnode, metav1.GetOptions{})
	if err == nil {
		holder := "mc-1_00000001"
		l.Spec.HolderIdentity = &holder
		_, _ = leases.Update(ctx, l, metav1.UpdateOptions{})
	}
}

// A base is pinned to one member at a time, until a time, also where the Lease is renewed in
// between.
func TestMove(t *testing.T) {
	c := team(time.Now())
	conflicts := 0
	c.PrependReactor("patch", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if conflicts++; conflicts%2 == 1 {
			return true, nil, apierrors.NewConflict(coordinationv1.Resource("leases"), "mc", errors.New("it was renewed"))
		}
		return false, nil, nil
	})
	if text, err := run(t, c, "move", "base-1", "mc-1", "--for", "30m"); err != nil || !strings.Contains(text, "is pinned to mc-1 for 30m") {
		t.Fatalf("%v:\n%s", err, text)
	}
	name, until, _ := strings.Cut(noted(t, c, "mc-1", election.PinsNote), "=")
	at, err := time.Parse(time.RFC3339, until)
	if left := time.Until(at); err != nil || name != vnode || left < 29*time.Minute || left > 31*time.Minute {
		t.Errorf("%s until %s, %v", name, until, err)
	}
	text, err := run(t, c, "base", "base-1")
	if err != nil {
		t.Error(err)
	}
	contains(t, text, []string{"moved by hand", "pinned to mc-1 until " + until})
	if text, err := run(t, c, "rebalance", "--dry-run"); err != nil || !strings.Contains(text, "mc-1") {
		t.Errorf("%v:\n%s", err, text)
	}
	if _, err := run(t, c, "move", vnode, "mc-0"); err != nil || noted(t, c, "mc-1", election.PinsNote) != "" || noted(t, c, "mc-0", election.PinsNote) == "" {
		t.Errorf("moved back: %v", err)
	}
	if _, err := run(t, c, "move", "base-1", "--undo"); err != nil || noted(t, c, "mc-0", election.PinsNote) != "" {
		t.Errorf("taken back: %v", err)
	}
}

// What a member could not do, or others would undo, is not asked for.
func TestWhatCannotBeAskedFor(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*coordinationv1.Lease)
		args   string
		says   string
	}{
		"a member of an earlier version lives":        {func(l *coordinationv1.Lease) { delete(l.Annotations, prefix+"requests-obeyed-by") }, "drain mc-0", "earlier version"},
		"one lives, and a base is to be moved":        {func(l *coordinationv1.Lease) { l.Annotations[prefix+"requests-obeyed-by"] = "mc-1_00000000" }, "move base-1 mc-1", "earlier version"},
		"the other one has no broker":                 {func(l *coordinationv1.Lease) { l.Annotations[prefix+"tunnels"] = "down" }, "drain mc-0", "no other member is ready"},
		"the other one serves another environment":    {func(l *coordinationv1.Lease) { l.Annotations[prefix+"environments"] = "prod" }, "drain mc-0", "no other member is ready"},
		"the member that is to have it is no more":    {func(l *coordinationv1.Lease) { nobody := ""; l.Spec.HolderIdentity = &nobody }, "move base-1 mc-1", "not ready to have bases"},
		"the member that is to have it leaves":        {func(l *coordinationv1.Lease) { l.Annotations[prefix+"state"] = "draining" }, "move base-1 mc-1", "it leaves: true"},
		"the member that is to have it is cordoned":   {func(l *coordinationv1.Lease) { l.Annotations[election.CordonedNote] = "true" }, "move base-1 mc-1", "it is cordoned: true"},
		"the member that is to be drained is no more": {func(l *coordinationv1.Lease) { nobody := ""; l.Spec.HolderIdentity = &nobody }, "drain mc-1", "does not live"},
	} {
		t.Run(what, func(t *testing.T) {
			k := team(time.Now(), c.change)
			if _, err := run(t, k, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it ends with %v", err)
			}
			for _, a := range k.Actions() {
				if a.GetVerb() == "patch" {
					t.Errorf("it asked to patch %s", a.GetResource().Resource)
				}
			}
		})
	}
}

// Who may not ask is told which role may.
func TestWhoMayNotAsk(t *testing.T) {
	c := team(time.Now())
	c.PrependReactor("patch", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(coordinationv1.Resource("leases"), "mc-0", errors.New("no right"))
	})
	if _, err := run(t, c, "drain", "mc-0"); err == nil || !strings.Contains(err.Error(), "module-controller-operator") {
		t.Errorf("it ends with %v", err)
	}
}
