package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"module-controller/election"
	"module-controller/provider"
	"module-controller/shard"
	"module-controller/tunnel"
)

func counted() *metrics { return countedOver("t") }

// countedOver has every metric, those with labels too: they are there once they were
// counted. name is a tunnel's.
func countedOver(name string) *metrics {
	m := newMetrics()
	m.watch(func() provider.Census {
		return provider.Census{Ready: 3, NotReady: 1, Modules: 2, Unmanaged: 5, NodesLag: 3 * time.Second, PodsLag: 4 * time.Second}
	},
		func() shard.Census { return shard.Census{Owned: 4, Assigned: 6, Misplaced: 2, Members: 3, Foreign: 7} },
		func() election.Health {
			return election.Health{OldestLease: 21 * time.Second, Workers: 16, RenewDeadline: 3500 * time.Millisecond, Stalled: true, MembersLag: time.Second, BasesLag: 2 * time.Second}
		})
	m.follow(&live{refused: true})
	m.Dropped(name, "not_json")
	m.Command(name, tunnel.InstallModule, "done", time.Second)
	m.Commanded("install", "asked")
	m.Wrote("node", nil)
	m.Wrote("node", http.ErrServerClosed)
	m.Synced(time.Second, false)
	m.BoundToReady(time.Second)
	m.Link(name, true)
	m.Conflict()
	m.Probed("Readiness", "failed")
	m.PeersScaled("up")
	m.Hooked("sent")
	m.EventsDropped("queue_full", 3)
	m.Moved("transferred")
	m.Expired()
	m.warnOf([]risk{{setting: "METRICS_AUTH"}})
	m.scrapesRefused.WithLabelValues("no_token").Inc()
	return m
}

func scrape(m *metrics) string {
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetricsCount(t *testing.T) {
	text := scrape(counted())
	for _, want := range []string{
		`module_controller_bases{ready="true"} 3`, `module_controller_bases{ready="false"} 1`, "module_controller_modules_serving 2",
		"module_controller_modules_unmanaged 5", "module_controller_bases_owned 4", "module_controller_bases_assigned 6",
		"module_controller_bases_misplaced 2", "module_controller_members 3", "module_controller_bases_foreign 7",
		"module_controller_oldest_lease_seconds 21", "module_controller_lease_workers 16", "module_controller_renew_deadline_seconds 3.5",
		`module_controller_probes_total{probe_type="Readiness",result="failed"} 1`, "module_controller_watch_stalled 1", "module_controller_leases_refused 0", "module_controller_queue_depth 0",
		`module_controller_tunnel_up{tunnel="t"} 1`, `module_controller_messages_dropped_total{reason="not_json",tunnel="t"} 1`,
		`module_controller_command_duration_seconds_count{tunnel="t",verb="` + string(tunnel.InstallModule) + `"} 1`,
		`module_controller_tunnel_commands_total{outcome="done",tunnel="t",verb="install"} 1`, `module_controller_commands_total{result="asked",verb="install"} 1`,
		`module_controller_sync_duration_seconds_count{result="ok"} 1`, "module_controller_bound_to_ready_seconds_count 1",
		`module_controller_api_writes_total{object="node",result="error"} 1`, `module_controller_api_writes_total{object="node",result="ok"} 1`,
		`module_controller_events_dropped_total{reason="queue_full"} 3`, "module_controller_identity_conflicts_total 1", `module_controller_ownership_changes_total{how="transferred"} 1`,
		"module_controller_members_expired_total 1", `module_controller_insecure{setting="METRICS_AUTH"} 1`, `module_controller_scrapes_refused_total{reason="no_token"} 1`, "go_goroutines",
		`module_controller_watch_lag_seconds{resource="member_leases"} 1`, `module_controller_watch_lag_seconds{resource="base_leases"} 2`,
		`module_controller_watch_lag_seconds{resource="nodes"} 3`, `module_controller_watch_lag_seconds{resource="pods"} 4`, "module_controller_config_refused 1",
		`module_controller_peer_deployments_scaled_total{direction="up"} 1`, `module_controller_webhooks_total{result="sent"} 1`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%q is not served", want)
		}
	}
}

// everything has counted all that a replica with both tunnels may count, and more than one does.
func everything() *metrics {
	m := countedOver("mqtt_tunnel_provider")
	for _, name := range []string{"mqtt_tunnel_provider", "http_tunnel_provider"} {
		for _, verb := range []tunnel.Verb{tunnel.InstallModule, tunnel.UninstallModule, tunnel.SwitchModule, tunnel.ListModules, tunnel.ReadHealth} {
			for _, outcome := range []string{"sent", "not_linked"} {
				m.Command(name, verb, outcome, time.Second)
			}
		}
		for _, verb := range []tunnel.Verb{tunnel.InstallModule, tunnel.UninstallModule, tunnel.SwitchModule} { // the others are questions
			for _, result := range []string{"asked", "done", "failed", "lost"} {
				m.Commanded(string(verb), result)
			}
		}
		for reason := range 5 {
			m.Dropped(name, fmt.Sprint("reason ", reason))
		}
	}
	for _, queue := range []string{"bases", "leases", "pod-statuses", "strangers"} {
		q := queues{ofClient}
		q.NewAddsMetric(queue).Inc()
		q.NewDepthMetric(queue).Inc()
		q.NewRetriesMetric(queue).Inc()
		q.NewLatencyMetric(queue).Observe(1)
		q.NewWorkDurationMetric(queue).Observe(1)
		q.NewUnfinishedWorkSecondsMetric(queue).Set(1)
		q.NewLongestRunningProcessorSecondsMetric(queue).Set(1)
	}
	requests := ofClient.requestMetrics()
	for _, verb := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		requests.RequestLatency.Observe(context.Background(), verb, url.URL{}, time.Second)
		requests.RateLimiterLatency.Observe(context.Background(), verb, url.URL{}, time.Second)
		for _, code := range []string{"200", "409"} {
			requests.RequestResult.Increment(context.Background(), code, verb, "")
		}
	}
	return m
}

// maxSeries is how many series a replica may have.
const maxSeries = 300

// The series of a replica are few, whatever its bases do: no label has their names.
func TestSeriesAreFew(t *testing.T) {
	series := 0
	by := map[string]int{}
	for line := range strings.Lines(scrape(everything())) {
		if !strings.HasPrefix(line, "#") {
			series++
			by[regexp.MustCompile(`^[a-z_]+`).FindString(line)]++
		}
	}
	if series > maxSeries {
		t.Errorf("%d series, want %d at most: %v", series, maxSeries, by)
	}
}

// Names follow Prometheus: counters end in _total, times are in seconds.
func TestMetricNames(t *testing.T) {
	problems, err := testutil.GatherAndLint(counted().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, prefix) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// Each session counts from 0.
func TestASessionCountsFromZero(t *testing.T) {
	counted()
	if n := testutil.ToFloat64(newMetrics().conflicts); n != 0 {
		t.Errorf("%v conflicts before the first", n)
	}
}

// The reference has every metric that is served, and no other.
func TestTheReferenceHasEveryMetric(t *testing.T) {
	var page strings.Builder
	if err := printMetrics(&page); err != nil {
		t.Fatal(err)
	}
	names := func(pattern, text string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	for _, name := range names("`((?:rest_client|workqueue)_\\w+)`", page.String()) {
		if !slices.Contains(names(`# TYPE (\S+)`, scrape(everything())), name) {
			t.Errorf("%s is not served", name)
		}
	}
	if diff := cmp.Diff(names(`# TYPE (module_controller_\S+)`, scrape(counted())), names("`(module_controller_\\w+)`", page.String())); diff != "" {
		t.Errorf("(-served +page):\n%s", diff)
	}
}
