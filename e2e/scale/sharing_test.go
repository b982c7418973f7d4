//go:build scale

package scale

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// TestScaleSharing measures what a base costs with one replica and with five, each on a
// control plane of its own: a quiet time, then one in which pods come and go, SCALE_PODS (20)
// a second.
func TestScaleSharing(t *testing.T) {
	bases, long, rate := scaleOf(t, 2000), lasting(t, time.Minute), podsASecond(t, 20)
	of := map[int]shared{}
	for _, replicas := range []int{1, 5} {
		t.Run(fmt.Sprintf("replicas=%d", replicas), func(t *testing.T) {
			of[replicas] = share(t, bases, replicas, rate, long)
		})
	}
	if len(of) < 2 {
		return // one of them was asked for
	}
	one, five := of[1], of[5]
	t.Logf("controllers' CPU a base and minute, 5 replicas against 1: %.2f quiet, %.2f with pods; goal 1.10",
		five.quiet.cpu/one.quiet.cpu, five.busy.cpu/one.busy.cpu)
	t.Logf("events a replica, 5 replicas against 1: Leases %.2f quiet, pods %.2f; goal 0.24 (1.2 times a fifth)",
		five.quiet.leases/one.quiet.leases, five.busy.pods/one.busy.pods)
}

// shared is what replicas cost in a minute.
type shared struct{ quiet, busy cost }

// cost is the controllers' CPU time a base and minute, in seconds, and the events that a
// replica got a minute.
type cost struct{ cpu, leases, nodes, pods float64 }

func share(t *testing.T, bases, replicas, rate int, long time.Duration) (s shared) {
	t.Helper()
	c := world.StartCluster(t)
	w := c.New(t).WithBrokerOf(broker())
	nodes, pods := w.SeeNodes(""), w.SeePods("")
	others := audience(w, c)
	w.WithReplicas(replicas, "LOG_LEVEL=info").WithFleet(bases, "--heartbeat", "10s")
	nodes.AwaitReady(comingUp, bases)
	w.AwaitPlaced()
	<-time.After(30 * time.Second) // until it is quiet
	s.quiet = costOf(w, bases, others, long)
	load := w.ComeAndGo(pods, bases, rate)
	began := time.Now()
	s.busy = costOf(w, bases, others, long)
	t.Logf("%d bases, %d replicas: %.4f s CPU a base and minute; a replica got %.0f Leases, %.0f Nodes, %.0f pods a minute", bases, replicas,
		s.quiet.cpu, s.quiet.leases, s.quiet.nodes, s.quiet.pods)
	t.Logf("with %d pods a second (%s): %.4f s; %.0f Leases, %.0f Nodes, %.0f pods", rate, load.Between(began, time.Now()),
		s.busy.cpu, s.busy.leases, s.busy.nodes, s.busy.pods)
	reportLost(t, nodes, 0, "meanwhile")
	checkOnceEach(w, load.Stop())
	return s
}

// audience measures how many watchers besides replicas get what is written of a resource,
// by writing it: the API server does not tell to whom it sent an event.
func audience(w *world.World, c *world.Cluster) world.Counts {
	w.Helper()
	const times, name = 200, "probe"
	nodes, pods, leases := c.Client.CoreV1().Nodes(), c.Client.CoreV1().Pods(w.Env), w.BaseLeases()
	meta := metav1.ObjectMeta{Name: name}
	_, err := leases.Create(w.Context(), &coordinationv1.Lease{ObjectMeta: meta}, metav1.CreateOptions{})
	w.Must(err)
	_, err = nodes.Create(w.Context(), &corev1.Node{ObjectMeta: meta}, metav1.CreateOptions{})
	w.Must(err)
	w.CreatePod(name, "", name, "1.0.0", world.Jar(name, "1.0.0"), func(p *corev1.Pod) { p.Spec.NodeName = name })

	before := sent(w)
	for n := range times {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"probe":"%d"}}}`, n)
		_, ofLease := leases.Patch(w.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		_, ofNode := nodes.Patch(w.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		_, ofPod := pods.Patch(w.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		w.Must(errors.Join(ofLease, ofNode, ofPod))
	}
	got := world.Counts{}
	w.Eventually(world.Timeout, func() error { // what was sent is whole once each got most of it
		for resource, n := range sent(w).Since(before) {
			got[resource] = math.Floor(n / times)
			if n < times || n-got[resource]*times > times/2 {
				return fmt.Errorf("%.0f events of %s were sent, want whole times of %d", n, resource, times)
			}
		}
		return nil
	})
	w.Must(errors.Join(
		pods.Delete(w.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}),
		nodes.Delete(w.Context(), name, metav1.DeleteOptions{}), leases.Delete(w.Context(), name, metav1.DeleteOptions{})))
	return got
}

// sent counts the events that the API server sent to all, by resource.
func sent(w *world.World) world.Counts {
	w.Helper()
	all, of := w.ServerCounts("apiserver_watch_events_total", "resource"), world.Counts{}
	for _, resource := range []string{"leases", "nodes", "pods"} {
		of[resource] = all[resource]
	}
	return of
}

// costOf measures a time. others are how many watchers there are besides the replicas, by
// resource: what they did not get of what was sent, the replicas did.
func costOf(w *world.World, bases int, others world.Counts, long time.Duration) cost {
	w.Helper()
	look := func() (events, requests world.Counts, cpu time.Duration) {
		for _, r := range w.Replicas {
			u, err := harness.UsageOf(r.PID())
			w.Must(err)
			cpu += u.CPU
		}
		return sent(w), w.ServerCounts("apiserver_request_total", "verb", "resource"), cpu
	}
	events, requests, cpu := look()
	began := time.Now()
	<-time.After(long)
	nowEvents, nowRequests, nowCPU := look()
	minutes := time.Since(began).Minutes()
	told, asked := nowEvents.Since(events), nowRequests.Since(requests)
	w.Logf("events to all: %s; other watchers: %s; requests: %s", told, others, asked)
	got := func(resource string) float64 {
		written := asked.Sum([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, []string{resource})
		return max(0, told[resource]-written*others[resource]) / minutes / float64(len(w.Replicas))
	}
	return cost{
		cpu:    (nowCPU - cpu).Seconds() / minutes / float64(bases),
		leases: got("leases"), nodes: got("nodes"), pods: got("pods"),
	}
}
