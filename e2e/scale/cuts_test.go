//go:build scale

package scale

import (
	"testing"
	"time"

	"module-controller/e2e/world"
)

// TestScaleWatchCuts has all connections between the replicas and the API server cut once a
// second, for a minute, while pods come and go, SCALE_PODS (10) a second. It tells how long
// pods take and what was listed, beside the same time without cuts. No Node may lose its
// readiness, and each module is installed and uninstalled once.
func TestScaleWatchCuts(t *testing.T) {
	bases, long, rate := scaleOf(t, 200), lasting(t, time.Minute), podsASecond(t, 10)
	c := world.StartCluster(t)
	w := c.New(t).WithBrokerOf(broker())
	w.Proxied, w.APIUnreachable = true, true
	w.WithReplicas(2, "LOG_LEVEL=info")
	nodes, pods := w.SeeNodes(""), w.SeePods("")
	w.WithFleet(bases, "--heartbeat", "10s")
	nodes.AwaitReady(comingUp, bases)
	load := w.ComeAndGo(pods, bases, rate)

	times := []time.Time{time.Now()}
	modes := []string{"before", "cut once a second", "after"}
	for _, mode := range modes {
		requests := reads(w)
		for over := time.Now().Add(long); time.Now().Before(over); {
			<-time.After(time.Second)
			if mode == modes[1] {
				cut(w)
			}
		}
		times = append(times, time.Now())
		t.Logf("%s, asked by all in %s: %s", mode, long, reads(w).Since(requests))
	}
	made := load.Stop()
	for i, mode := range modes {
		t.Logf("%s: %s; goal p99 2s", mode, load.Between(times[i], times[i+1]))
	}
	reportLost(t, nodes, 0, "meanwhile")
	checkOnceEach(w, made)
}

// cut ends all connections of the replicas to the API server. New ones are taken at once.
func cut(w *world.World) {
	w.Helper()
	for _, l := range w.Links {
		w.Must(l.API.Cut())
		w.Must(l.API.Pass())
	}
}

// reads counts what lists objects, or begins to watch them: a list may come as a watch.
func reads(w *world.World) world.Counts {
	w.Helper()
	all := w.ServerCounts("apiserver_request_total", "verb", "resource")
	of := world.Counts{}
	for _, resource := range []string{"leases", "nodes", "pods"} {
		for _, verb := range []string{"LIST", "WATCH"} {
			of[verb+" "+resource] = all[verb+" "+resource]
		}
	}
	for resource, n := range w.ServerCounts("apiserver_watch_list_duration_seconds_count", "resource") {
		of["WATCHLIST "+resource] = n
	}
	return of
}
