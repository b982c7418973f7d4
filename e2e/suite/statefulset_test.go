package suite

import (
	"context"
	"fmt"
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/agent"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

const set = "statefulset/" + harness.Namespace

// withStatefulSet applies the manifests as they are; an agent is the Node that runs the
// replicas. What a cluster has that the machine has not, the broker's name,
// free ports and a way to the pods, is given by the agent.
func withStatefulSet(w *world.World) *agent.Agent {
	w.Helper()
	a := startMachine(w, "machine", harness.Namespace)
	w.Kubectl("apply", "-k", harness.Manifest(""))
	w.Kubectl("-n", harness.Namespace, "scale", set, "--replicas=2")
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), world.Timeout)
		defer cancel()
		for _, what := range []string{set, "service/module-controller", "service/module-controller-metrics"} {
			if out, err := cluster.Plane.Kubectl(ctx, "-n", harness.Namespace, "delete", what); err != nil {
				w.Errorf("delete %s: %v: %s", what, err, out)
			}
		}
		w.Must(harness.Until(ctx, func() error {
			pods, err := cluster.Client.CoreV1().Pods(harness.Namespace).List(ctx, metav1.ListOptions{})
			if err == nil && len(pods.Items) > 0 {
				err = fmt.Errorf("%d pods are left", len(pods.Items))
			}
			return err
		}))
	})
	return a
}

// startMachine starts a Node that runs the product's pods as processes. When the test ends
// the Node ends first, and the logs of its replicas are checked, whose names begin with pods.
func startMachine(w *world.World, node, pods string) *agent.Agent {
	w.Helper()
	a, err := agent.Start(w.Context(), agent.Options{
		Client: cluster.Client, Config: cluster.Plane.Config(), NodeName: node, Binary: cluster.Bin.Controller, Dir: w.Dir,
		Ports: harness.PodPorts, Env: w.PodSettings(),
	})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(a.Stop())
		for n := range 3 {
			w.CheckReplicaLog(a.Log(fmt.Sprint(pods, "-", n)))
		}
		w.Must(cluster.Client.CoreV1().Nodes().Delete(context.Background(), node, metav1.DeleteOptions{}))
	})
	return a
}

// awaitRollout waits until the replicas are as many as they should be, and ready.
func awaitRollout(w *world.World) {
	w.Helper()
	w.Kubectl("-n", harness.Namespace, "rollout", "status", set, "--timeout=90s")
}

// killContainer kills the process of a replica, and waits until it is back in the same
// pod, with a new incarnation, and has its own bases again.
func killContainer(w *world.World, a *agent.Agent, replica int) {
	w.Helper()
	name, victim := world.ReplicaName(replica), w.Incarnation(replica)
	before := w.Owners()
	process, err := a.Process(name)
	w.Must(err)
	w.Recorder.Fault("kill", victim)()
	w.Must(process.Kill())
	w.Eventually(world.Timeout, func() error {
		pod, err := cluster.Client.CoreV1().Pods(harness.Namespace).Get(w.Context(), name, metav1.GetOptions{})
		if err == nil && (!world.PodReady(*pod) || pod.Status.ContainerStatuses[0].RestartCount != 1) {
			err = fmt.Errorf("the killed replica is not back: %+v", pod.Status.ContainerStatuses)
		}
		return err
	})
	w.AwaitIncarnation(replica, victim)
	w.Eventually(world.Timeout, func() error {
		return checkInherited(before, w.Owners(), victim, w.Incarnation(replica))
	})
}

// checkInherited checks that a victim owns nothing any more, and its next incarnation most
// of what it had: single bases may be about to move to where they are assigned.
func checkInherited(before, now map[string]world.Owner, victim, heir string) error {
	had, has := 0, 0
	for node, o := range now {
		if o.Holder == victim {
			return fmt.Errorf("%s is still %s's", node, victim)
		}
		if before[node].Holder == victim {
			had++
			if o.Holder == heir {
				has++
			}
		}
	}
	if 2*has <= had {
		return fmt.Errorf("%s has %d of the %d bases of %s", heir, has, had, victim)
	}
	return nil
}

// peerAddress gives where a replica tells its members that it is.
func peerAddress(w *world.World, replica int) string {
	w.Helper()
	l, err := w.MemberLeases().Get(w.Context(), world.ReplicaName(replica), metav1.GetOptions{})
	w.Must(err)
	return l.Annotations["virtual-kubelet.koupleless.io/address"]
}

// The StatefulSet of the manifests is scaled, rolled, disturbed and deleted by the
// real controllers, and no module notices. Every second base speaks HTTP.
func TestTheStatefulSet(t *testing.T) {
	const bases = 30
	w := cluster.New(t).WithBroker().WithService()
	w.WithFleet(bases, w.OverHTTP(bases)...)
	a := withStatefulSet(w)
	awaitRollout(w)
	if first, second := peerAddress(w, 0), peerAddress(w, 1); first == second {
		t.Errorf("both replicas are found by members at %s", first)
	}
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
	w.AwaitPodsReady("app=stock", bases)
	w.AwaitBalanced(2, bases)
	check := w.Undisturbed(bases)

	w.Kubectl("-n", harness.Namespace, "scale", set, "--replicas=3")
	awaitRollout(w)
	w.AwaitBalanced(3, bases)

	before := w.Owners()
	w.Kubectl("-n", harness.Namespace, "rollout", "restart", set)
	awaitRollout(w)
	w.AwaitBalanced(3, bases)
	w.CheckMoves(2, before)

	killContainer(w, a, 1)
	w.AwaitBalanced(3, bases)

	// Evictions take one replica away at a time.
	evict := func(pod string) error {
		return cluster.Client.PolicyV1().Evictions(harness.Namespace).Evict(w.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: harness.Namespace}})
	}
	w.Eventually(world.Timeout, func() error { return evict("module-controller-2") })
	if err := evict("module-controller-0"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("a second replica could be evicted at once: %v", err)
	}
	awaitRollout(w)
	w.AwaitBalanced(3, bases)

	w.Kubectl("-n", harness.Namespace, "scale", set, "--replicas=1")
	w.Eventually(world.Timeout, func() error {
		if shares := w.Shares(); shares["module-controller-0"] != bases {
			return fmt.Errorf("%v", shares)
		}
		return nil
	})
	w.Eventually(world.Timeout, func() error { // who has given all away gives up its membership next
		members, err := w.MemberLeases().List(w.Context(), metav1.ListOptions{})
		w.Must(err)
		for _, m := range members.Items {
			if holder := m.Spec.HolderIdentity; m.Name != "module-controller-0" && holder != nil && *holder != "" {
				return fmt.Errorf("%s has left, but its membership is held by %s", m.Name, *holder)
			}
		}
		return nil
	})
	check()
	t.Logf("of %d bases no Node turned NotReady and no module was installed again", bases)
}
