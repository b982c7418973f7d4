package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/agent"
	"module-controller/e2e/harness"
)

const set = "statefulset/" + harness.Namespace

// kubectl runs kubectl as a user would.
func (w *world) kubectl(args ...string) {
	w.Helper()
	_, err := plane.Kubectl(w.Context(), args...)
	w.must(err)
}

// withStatefulSet applies the manifests as they are; an agent plays the Node that
// runs the replicas. What a cluster has that the machine has not, the broker's name,
// free ports and a way to the pods, is given by the agent.
func (w *world) withStatefulSet() *agent.Agent {
	w.Helper()
	a, err := agent.Start(w.Context(), agent.Options{
		Client: client, Config: plane.Config(), NodeName: "machine", Binary: bin.Controller, Dir: w.dir,
		Ports: map[string]string{
			"metrics":   "METRICS_BIND_ADDRESS=127.0.0.1:%d",
			"health":    "HEALTH_PROBE_BIND_ADDRESS=127.0.0.1:%d",
			"heartbeat": "HTTP_TUNNEL_LISTEN_PORT=%d",
		},
		Env: w.podSettings(),
	})
	w.must(err)
	w.Cleanup(func() {
		w.must(a.Stop())
		for n := range 3 {
			w.loggedWell(a.Log(fmt.Sprintf("module-controller-%d", n)))
		}
		w.must(client.CoreV1().Nodes().Delete(context.Background(), "machine", metav1.DeleteOptions{}))
	})
	w.kubectl("apply", "-k", filepath.Join(harness.Root(), "manifests"))
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, what := range []string{set, "service/module-controller"} {
			if out, err := plane.Kubectl(ctx, "-n", harness.Namespace, "delete", what); err != nil {
				w.Errorf("delete %s: %v: %s", what, err, out)
			}
		}
		w.must(harness.Until(ctx, func() error {
			pods, err := client.CoreV1().Pods(harness.Namespace).List(ctx, metav1.ListOptions{})
			if err == nil && len(pods.Items) > 0 {
				err = fmt.Errorf("%d pods are left", len(pods.Items))
			}
			return err
		}))
	})
	return a
}

// podSettings gives what a pod is told beside its manifest. Each process listens for
// heartbeats elsewhere, as each pod has an address of its own, and the Service knows.
func (w *world) podSettings() func(*corev1.Pod) map[string]string {
	var mu sync.Mutex
	ports := map[string]int{} // by pod; mu guards it
	return func(pod *corev1.Pod) map[string]string {
		mu.Lock()
		defer mu.Unlock()
		port, err := w.service.Instead(ports[pod.Name])
		if err != nil {
			w.Error(err)
		}
		ports[pod.Name] = port
		return map[string]string{
			"ENV": w.env, "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": strconv.Itoa(w.brokerPort),
			"HTTP_TUNNEL_LISTEN_PORT": strconv.Itoa(port), "HTTP_TUNNEL_ALLOWED_CIDRS": "127.0.0.0/8",
			"SETTLE_TIME": "3s", "LIST_INTERVAL": "2s", "LOG_LEVEL": "debug",
		}
	}
}

// loggedWell checks that a replica logged no error, and that it took every peer for one.
func (w *world) loggedWell(log string) {
	w.Helper()
	lines, err := harness.ErrorLines(log)
	if err != nil || len(lines) > 0 {
		w.Errorf("errors in %s (%v): %v", log, err, lines)
		return
	}
	text, err := os.ReadFile(log)
	w.must(err)
	if strings.Contains(string(text), `"msg":"peer refused"`) {
		w.Errorf("a peer was refused: see %s", log)
	}
}

// rolledOut waits until the replicas are as many as they should be, and ready.
func (w *world) rolledOut() {
	w.Helper()
	w.kubectl("-n", harness.Namespace, "rollout", "status", set, "--timeout=90s")
}

// sharedBy waits until so many replicas own about equal shares of the bases.
func (w *world) sharedBy(replicas, bases int) {
	w.Helper()
	w.eventually(patience, func() error {
		shares := w.shares()
		if len(shares) != replicas {
			return fmt.Errorf("%v, want %d owners", shares, replicas)
		}
		for _, n := range shares {
			if float64(n) > 1.15*float64(bases)/float64(replicas) {
				return fmt.Errorf("%v is not balanced", shares)
			}
		}
		return nil
	})
}

// killContainer kills the process of a replica, and waits until it is back in the same
// pod, as somebody new, and has its own bases again.
func (w *world) killContainer(a *agent.Agent, replica int) {
	w.Helper()
	name, victim := fmt.Sprintf("module-controller-%d", replica), w.incarnation(replica)
	before := w.owners()
	process, err := a.Process(name)
	w.must(err)
	w.recorded.fault("kill", victim)()
	w.must(process.Kill())
	w.eventually(patience, func() error {
		pod, err := client.CoreV1().Pods(harness.Namespace).Get(w.Context(), name, metav1.GetOptions{})
		if err == nil && (!podReady(*pod) || pod.Status.ContainerStatuses[0].RestartCount != 1) {
			err = fmt.Errorf("the killed replica is not back: %+v", pod.Status.ContainerStatuses)
		}
		return err
	})
	w.eventually(patience, func() error {
		now := w.incarnation(replica)
		if now == "" || now == victim {
			return fmt.Errorf("replica %d is %q, was %s", replica, now, victim)
		}
		return inherited(before, w.owners(), victim, now)
	})
}

// inherited says whether a victim owns nothing any more, and its heir most of what it
// had: single bases may be on their way to where they belong.
func inherited(before, now map[string]owner, victim, heir string) error {
	had, has := 0, 0
	for node, o := range now {
		if o.holder == victim {
			return fmt.Errorf("%s is still %s's", node, victim)
		}
		if before[node].holder == victim {
			had++
			if o.holder == heir {
				has++
			}
		}
	}
	if 2*has <= had {
		return fmt.Errorf("%s has %d of the %d bases of %s", heir, has, had, victim)
	}
	return nil
}

// The StatefulSet of the manifests is scaled, rolled, disturbed and deleted by the
// real controllers, and nothing of the modules is felt of it. Every second base speaks
// HTTP.
func TestTheStatefulSet(t *testing.T) {
	const bases = 30
	w := newWorld(t).withBroker().withService()
	w.withFleet(bases, "--heartbeat-endpoint", w.endpoint())
	a := w.withStatefulSet()
	w.rolledOut()
	if first, second := w.listens(0), w.listens(1); first == second {
		t.Errorf("both replicas are found at port %d", first)
	}
	w.nodesReady(bases)
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), bases, spread)
	w.podsReady("app=stock", bases)
	w.sharedBy(2, bases)
	check := w.undisturbed(bases)

	w.kubectl("-n", harness.Namespace, "scale", set, "--replicas=3")
	w.rolledOut()
	w.sharedBy(3, bases)

	before := w.owners()
	w.kubectl("-n", harness.Namespace, "rollout", "restart", set)
	w.rolledOut()
	w.sharedBy(3, bases)
	for node, o := range w.owners() {
		if moves := o.epoch - before[node].epoch; moves > 2 {
			t.Errorf("%s moved %d times in a rolling restart", node, moves)
		}
	}

	w.killContainer(a, 1)
	w.sharedBy(3, bases)

	// Evictions take one replica away at a time.
	evict := func(pod string) error {
		return client.PolicyV1().Evictions(harness.Namespace).Evict(w.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: harness.Namespace}})
	}
	w.eventually(patience, func() error { return evict("module-controller-2") })
	if err := evict("module-controller-0"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("a second replica could be evicted at once: %v", err)
	}
	w.rolledOut()
	w.sharedBy(3, bases)

	w.kubectl("-n", harness.Namespace, "scale", set, "--replicas=1")
	w.eventually(patience, func() error {
		if shares := w.shares(); shares["module-controller-0"] != bases {
			return fmt.Errorf("%v", shares)
		}
		return nil
	})
	members, err := client.CoordinationV1().Leases(harness.Namespace).List(w.Context(), metav1.ListOptions{})
	w.must(err)
	for _, m := range members.Items {
		if holder := m.Spec.HolderIdentity; m.Name != "module-controller-0" && holder != nil && *holder != "" {
			t.Errorf("%s has left, but its membership is held by %s", m.Name, *holder)
		}
	}
	check()
	t.Logf("of %d bases no Node turned NotReady and no module was installed again", bases)
}
