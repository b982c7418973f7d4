package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"module-controller/election"
	"module-controller/provider"
	"module-controller/shard"
	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// counted has every metric, those with labels too: they are there once they were counted.
// outcome is one of the tunnel of that name.
func counted(name, outcome string) *metrics {
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
	m.Command(name, tunnel.InstallModule, outcome, time.Second)
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
	m.scrapesRefused.of("no_token").Inc()
	return m
}

func scrape(m *metrics) string { return scrapeOf(m, ofClient) }

func scrapeOf(m *metrics, c *clientMetrics) string {
	w := httptest.NewRecorder()
	m.handler(c).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetricsCount(t *testing.T) {
	text := scrape(counted("t", "done"))
	for _, want := range []string{
		`module_controller_bases{ready="true"} 3`, `module_controller_bases{ready="false"} 1`, "module_controller_modules_serving 2",
		"module_controller_modules_unmanaged 5", "module_controller_bases_owned 4", "module_controller_bases_assigned 6",
		"module_controller_bases_misplaced 2", "module_controller_members 3", "module_controller_bases_foreign 7",
		"module_controller_oldest_lease_seconds 21", "module_controller_lease_workers 16", "module_controller_renew_deadline_seconds 3.5",
		`module_controller_probes_total{probe_type="Readiness",result="failed"} 1`, "module_controller_watch_stalled 1", "module_controller_leases_refused 0", "module_controller_queue_depth 0",
		`module_controller_tunnel_up{tunnel="t"} 1`, `module_controller_messages_dropped_total{reason="not_json",tunnel="t"} 1`,
		`module_controller_command_duration_seconds_count{kind="command",tunnel="t"} 1`,
		`module_controller_tunnel_commands_total{kind="command",outcome="done",tunnel="t"} 1`, `module_controller_commands_total{result="asked",verb="install"} 1`,
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

// What is counted by each label, all of it. Reasons are those of docs/security.md.
var (
	tunnelNames = []string{mqtttunnel.Name, httptunnel.Name}
	verbs       = []tunnel.Verb{tunnel.InstallModule, tunnel.UninstallModule, tunnel.SwitchModule, tunnel.ListModules, tunnel.ReadHealth, tunnel.AnswerBaseline}
	outcomes    = map[string][]string{
		mqtttunnel.Name: {"sent", "not_linked", "refused"},
		httptunnel.Name: {"answered", "error", "done", "repeated", "notfound", "busy", "failed", "unsupported"},
	}
	anyTunnel = []string{
		"too_large", "too_deep", "not_json", "wrong_type", "bad_identity", "identity_mismatch", "bad_module", // of any message
		"no_node_name", "environment", "no_answer", "renewals_behind", "too_many_bases", "too_many_unproven", "too_many_new", "contender", // of any base
	}
	dropped = map[string][]string{
		mqtttunnel.Name: slices.Concat(anyTunnel, []string{"unknown_topic", "gone_unproved", "unknown_env", "not_followed", "retained", "base_busy", "decoders_busy", "subscription_refused"}),
		httptunnel.Name: slices.Concat(anyTunnel, []string{
			"sender_mismatch", "unauthorized", "token_rate", "unreviewed", "no_workload", "wrong_identity", "no_port", "cut_off", "address_refused",
			"too_many_connections", "bad_proof", "unproved", "too_often", "too_many_identities", "new_identity_rate", "peer_busy", "peer_unreachable", "peer_unauthorized",
		}),
	}
)

// everything has counted all that there is to count: no replica has more series.
func everything(t *testing.T) *metrics {
	t.Helper()
	m := counted(mqtttunnel.Name, "sent")
	for _, name := range tunnelNames {
		m.Link(name, true)
		for _, outcome := range outcomes[name] {
			for _, verb := range verbs {
				if asks := verb == tunnel.ListModules || verb == tunnel.ReadHealth || verb == tunnel.AnswerBaseline; asks && slices.Contains([]string{"done", "repeated", "notfound", "busy", "failed", "unsupported"}, outcome) {
					continue // these tell what became of an install
				}
				m.Command(name, verb, outcome, time.Second)
			}
		}
		for _, reason := range dropped[name] {
			m.Dropped(name, reason)
		}
	}
	for _, verb := range verbs[:3] { // the others are questions
		for _, result := range []string{"asked", "done", "failed", "lost"} {
			m.Commanded(string(verb), result)
		}
	}
	for _, object := range []string{"node", "pod", "lease", "scale"} {
		m.Wrote(object, nil)
		m.Wrote(object, http.ErrServerClosed)
	}
	m.Synced(time.Second, true)
	for _, probe := range []string{"Startup", "Readiness", "Liveness"} {
		for _, result := range []string{"successful", "failed", "unknown"} {
			m.Probed(probe, result)
		}
	}
	m.PeersScaled("down")
	for _, result := range []string{"queue_full", "refused", "unsent", "ended"} {
		m.Hooked(result)
	}
	for _, reason := range []string{"left_out", "queue_full", "repeated", "refused", "unsent"} {
		m.EventsDropped(reason, 1)
	}
	for _, how := range []string{"claimed", "transferred", "released", "lost"} {
		m.Moved(how)
	}
	for _, reason := range []string{"no_token", "unauthorized", "forbidden", "unreviewed"} {
		m.scrapesRefused.of(reason)
	}
	m.warnOf(everyRisk(t))
	return m
}

// everyRisk gives the risks of configurations with every door open; some doors exclude each other.
func everyRisk(t *testing.T) (all []risk) {
	t.Helper()
	text, err := os.ReadFile("risks.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`risk\{"([A-Z_]+)"`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, risk{setting: m[1]})
	}
	return all
}

// ofRequests has counted all that there is of requests and queues.
func ofRequests() *clientMetrics {
	c := newClientMetrics()
	for _, queue := range []string{"bases", "leases", "pod-statuses"} {
		q := queues{c}
		q.NewAddsMetric(queue).Inc()
		q.NewDepthMetric(queue).Inc()
		q.NewRetriesMetric(queue).Inc()
		q.NewLatencyMetric(queue).Observe(1)
		q.NewWorkDurationMetric(queue).Observe(1)
		q.NewUnfinishedWorkSecondsMetric(queue).Set(1)
		q.NewLongestRunningProcessorSecondsMetric(queue).Set(1)
	}
	requests := c.requestMetrics()
	for _, verb := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		requests.RequestLatency.Observe(context.Background(), verb, url.URL{}, time.Second)
		requests.RateLimiterLatency.Observe(context.Background(), verb, url.URL{}, time.Second)
		for code := 200; code < 600; code++ {
			if code/100 != 3 {
				requests.RequestResult.Increment(context.Background(), fmt.Sprint(code), verb, "")
			}
		}
		requests.RequestResult.Increment(context.Background(), "<error>", verb, "")
	}
	return c
}

// maxSeries is how many series a replica may have.
const maxSeries = 300

// families are the metrics of a scrape, and how many series each has.
func families(text string) (total int, by map[string]int) {
	by = map[string]int{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			total++
			by[regexp.MustCompile(`^[a-z_]+`).FindString(line)]++
		}
	}
	return total, by
}

// flood counts under a thousand values.
func (v *vec[M]) flood() {
	for i := range 1000 {
		v.of(slices.Repeat([]string{fmt.Sprint(i)}, v.labels)...)
	}
}

// A replica has few series, whatever is counted: each metric has room for so many, and all
// of them together are within the bound.
func TestSeriesAreFew(t *testing.T) {
	m, c := everything(t), ofRequests()
	all, _ := families(scrapeOf(m, c))
	t.Logf("%d series have something to show", all)
	for _, v := range slices.Concat(m.vecs, c.vecs) {
		if floods, is := v.(interface{ flood() }); is {
			floods.flood()
		}
	}
	if n, by := families(scrapeOf(m, c)); n > maxSeries {
		t.Errorf("%d series, want %d at most: %v", n, maxSeries, by)
	}
}

// There is room for all that is counted, so nothing is left out.
func TestAllThatIsCountedIsShown(t *testing.T) {
	before := testutil.ToFloat64(beyond)
	everything(t)
	ofRequests()
	if n := testutil.ToFloat64(beyond) - before; n != 0 {
		t.Errorf("%v were left out", n)
	}
}

// What has no room is told.
func TestWhatIsLeftOutIsCounted(t *testing.T) {
	before := testutil.ToFloat64(beyond)
	v := counters(1, "n", "h", "l")
	v.of("a").Inc()
	v.of("b").Inc()
	v.of("a").Inc()
	if n := testutil.ToFloat64(beyond) - before; n != 1 || testutil.CollectAndCount(v) != 1 || testutil.ToFloat64(v.of("a")) != 2 {
		t.Errorf("%v were left out, want 1", n)
	}
}

// The reasons above are those of the page, and the page has those of the code, see
// TestEachDropIsExplained.
func TestEveryReasonIsCounted(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "### Why a message was refused")
	section, _, _ = strings.Cut(section, "\n### ")
	var explained []string
	for row := range strings.Lines(section) {
		if strings.HasPrefix(row, "| `") {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
				explained = append(explained, m[1])
			}
		}
	}
	counted := slices.Concat(dropped[mqtttunnel.Name], dropped[httptunnel.Name])
	slices.Sort(counted)
	slices.Sort(explained)
	if diff := cmp.Diff(explained, slices.Compact(counted)); diff != "" {
		t.Errorf("(-page +counted):\n%s", diff)
	}
}

// Who scrapes in protobuf gets each histogram as a native one and as a classic one.
func TestHistogramsAreNativeBesideClassic(t *testing.T) {
	m, c := everything(t), ofRequests()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
	w := httptest.NewRecorder()
	m.handler(c).ServeHTTP(w, r)
	var seen []string
	for decoder := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header())); ; {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		seen = append(seen, f.GetName())
		for _, metric := range f.Metric {
			h := metric.GetHistogram()
			if native := h.Schema != nil && len(h.PositiveDelta) > 0; !native || len(h.Bucket) == 0 || h.GetSampleCount() == 0 {
				t.Errorf("%s has schema %v, %d native buckets, %d classic ones and %d observations", f.GetName(), h.Schema, len(h.PositiveDelta), len(h.Bucket), h.GetSampleCount())
			}
		}
	}
	slices.Sort(seen)
	if diff := cmp.Diff([]string{
		"module_controller_bound_to_ready_seconds", "module_controller_command_duration_seconds", "module_controller_sync_duration_seconds",
		"rest_client_rate_limiter_duration_seconds", "rest_client_request_duration_seconds", "workqueue_queue_duration_seconds",
	}, seen); diff != "" {
		t.Errorf("histograms (-want +served):\n%s", diff)
	}
}

// Names follow Prometheus: counters end in _total, times are in seconds.
func TestMetricNames(t *testing.T) {
	problems, err := testutil.GatherAndLint(counted("t", "done").registry)
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
	counted("t", "done")
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
		if !slices.Contains(names(`# TYPE (\S+)`, scrapeOf(counted("t", "done"), ofRequests())), name) {
			t.Errorf("%s is not served", name)
		}
	}
	if diff := cmp.Diff(names(`# TYPE (module_controller_\S+)`, scrape(counted("t", "done"))), names("`(module_controller_\\w+)`", page.String())); diff != "" {
		t.Errorf("(-served +page):\n%s", diff)
	}
}
