//go:build peers

package peers

import (
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

const (
	// clients is how many pods, or Nodes, are created or deleted at a time.
	clients = 64
	// settling is how long a side is left alone before what it uses is measured.
	settling = 20 * time.Second
	// patience is how long anything may take.
	patience = 10 * time.Minute
)

// writing are the verbs that write, written what is counted of what they write.
var (
	writing = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
	written = []string{"nodes", "leases", "pods", "events"}
)

// side is one of those who are compared.
type side struct {
	name string
	// start starts it. It returns at once: Nodes become Ready meanwhile.
	start func(w *world.World, c *world.Cluster, nodes int) running
}

// running is a side that runs.
type running struct {
	// began is when the time begins in which all Nodes become Ready.
	began time.Time
	// pid is its controller's process.
	pid int
	// node names the n-th Node, from 1 on.
	node func(n int) string
	// judge fails the test where so many modules were not installed, and uninstalled, once.
	judge func(installed, uninstalled int)
}

// figures is what was measured of a side.
type figures struct {
	ready               time.Duration // from running.began until the last Node was seen Ready
	alone, quiet        cost          // a minute of the plane without a controller, and of the quiet time, with a pod on each Node
	binding, ending     cost          // while all pods come to be Ready, and to be gone; of pods only
	before, with        int           // bytes that the controller has resident before there were pods, and with a pod on each Node
	bound, bound50, b99 time.Duration // from the first creation to the last pod seen Ready; of one pod, from the answer to its creation
	deleted             time.Duration // from the first deletion to the last pod seen gone
	lost                int           // how often a Node that was Ready was not
}

// cost is what something costs.
type cost struct {
	writes             float64       // that the API server answered
	controller, server time.Duration // CPU time of the controller and of the API server
}

// measure has a side do it all: it serves Nodes, gets a pod on each at once, is left alone
// with them, and loses them at once.
func measure(w *world.World, c *world.Cluster, s side, nodes int, quiet time.Duration) *figures {
	w.Helper()
	var f figures
	pass(settling)
	f.alone = costs(w, c, 0, settling)
	seen := w.SeeNodes("")
	r := s.start(w, c, nodes)
	f.ready = seen.AwaitReady(patience, nodes).Sub(r.began)
	pass(settling)
	f.before = usage(w, r.pid).Resident

	pods := w.SeePods("")
	f.binding = spent(w, c, r.pid, func() { f.bind(w, r, pods, nodes) }, "pods")
	r.judge(nodes, 0)
	pass(settling)
	f.quiet = costs(w, c, r.pid, quiet)
	f.with = usage(w, r.pid).Resident

	f.ending = spent(w, c, r.pid, func() { f.unbind(w, c, pods, nodes) }, "pods")
	r.judge(nodes, nodes)
	f.lost = len(seen.Lost())
	for _, l := range seen.Lost() {
		w.Logf("not Ready: %s", l)
	}
	return &f
}

// bind creates a pod on each Node, past the scheduler, and waits until all are Ready.
func (f *figures) bind(w *world.World, r running, seen *world.Sightings, pods int) {
	w.Helper()
	created := make([]time.Time, pods)
	began := time.Now()
	atOnce(w, pods, func(n int) error {
		_, err := w.TryCreatePod(podName(n), "", "stock", "1.0.0", world.Jar("stock", "1.0.0"), func(p *corev1.Pod) { p.Spec.NodeName = r.node(n + 1) })
		created[n] = time.Now()
		return err
	})
	f.bound = seen.AwaitReady(patience, pods).Sub(began)
	took := make([]time.Duration, pods)
	for n := range took {
		took[n] = max(0, seen.Of(podName(n)).Ready.Sub(created[n])) // it may be seen before the answer comes
	}
	slices.Sort(took)
	f.bound50, f.b99 = took[pods/2], took[pods*99/100]
}

// unbind deletes all pods, and waits until they are gone.
func (f *figures) unbind(w *world.World, c *world.Cluster, seen *world.Sightings, pods int) {
	w.Helper()
	began := time.Now()
	atOnce(w, pods, func(n int) error {
		return c.Client.CoreV1().Pods(w.Env).Delete(w.Context(), podName(n), metav1.DeleteOptions{})
	})
	f.deleted = seen.AwaitGone(patience, pods).Sub(began)
}

func podName(n int) string { return fmt.Sprintf("p%d", n) }

// atOnce does something for 0 to n-1, as many at a time as there are clients.
func atOnce(w *world.World, n int, do func(n int) error) {
	w.Helper()
	var work sync.WaitGroup
	for client := range clients {
		work.Go(func() {
			for i := client; i < n; i += clients {
				if err := do(i); err != nil {
					w.Error(err)
				}
			}
		})
	}
	work.Wait()
	if w.Failed() {
		w.FailNow()
	}
}

// costs gives what a minute costs, by what a time does. pid is the controller's; 0 for none.
func costs(w *world.World, c *world.Cluster, pid int, long time.Duration) cost {
	w.Helper()
	began := time.Now()
	all := spent(w, c, pid, func() { pass(long) }, written...)
	minutes := time.Since(began).Minutes()
	return cost{
		writes:     all.writes / minutes,
		controller: time.Duration(float64(all.controller) / minutes),
		server:     time.Duration(float64(all.server) / minutes),
	}
}

// spent gives what is spent while something is done, of the writes those of some resources.
func spent(w *world.World, c *world.Cluster, pid int, while func(), resources ...string) cost {
	w.Helper()
	look := func() (requests world.Counts, controller, server time.Duration) {
		if pid != 0 {
			controller = usage(w, pid).CPU
		}
		server = usage(w, c.Plane.PID(controlplane.APIServer)).CPU
		return w.ServerCounts("apiserver_request_total", "verb", "resource"), controller, server
	}
	requests, controller, server := look()
	while()
	nowRequests, nowController, nowServer := look()
	more := nowRequests.Since(requests)
	w.Logf("requests: %s", more)
	return cost{writes: more.Sum(writing, resources), controller: nowController - controller, server: nowServer - server}
}

func usage(w *world.World, pid int) harness.Usage {
	w.Helper()
	u, err := harness.UsageOf(pid)
	w.Must(err)
	return u
}

// pass lets time go by: what is measured is what happens meanwhile.
func pass(long time.Duration) { <-time.After(long) }
