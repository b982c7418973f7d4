package alerts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// interval is how often replicas are scraped and rules evaluated, as the rules want it.
const interval = 15 * time.Second

// at is what alerts fire at a time: the summary of each, by its name.
type at map[string]string

// story is a time in which series have some values.
type story struct {
	// series are lines as promtool takes them: a series, and its values, interval apart.
	series string
	// fires has what fires by how long after the beginning; what is not named does not.
	fires map[time.Duration]at
}

// replica is the labels of a series of the n-th replica, and of more.
func replica(n int, more ...string) string {
	all := append([]string{`namespace="mc"`, fmt.Sprintf(`pod="mc-%d"`, n)}, more...)
	return "{" + strings.Join(all, ",") + "}"
}

// play evaluates the rules every interval, as Prometheus does, and gives what fires at times.
func play(t *testing.T, series string, times []time.Duration) map[time.Duration]at {
	t.Helper()
	loader, err := promqltest.NewLazyLoader("load 15s\n"+series, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = loader.Close() }()
	loader.SubqueryInterval = interval
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(loader.QueryEngine(), loader.Storage()), AppendableV2: loader.Storage(), Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: promslog.NewNopLogger(), Parser: Parser(),
	})
	groups, errs := manager.LoadGroups(interval, labels.EmptyLabels(), "", nil, false, File())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	fired := map[time.Duration]at{}
	for after := time.Duration(0); after <= slices.Max(times); after += interval {
		now := time.Unix(0, 0).UTC().Add(after)
		loader.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range slices.Sorted(maps.Keys(groups)) {
				groups[key].Eval(t.Context(), now)
			}
		})
		if slices.Contains(times, after) {
			fired[after] = firing(t, groups)
		}
	}
	return fired
}

func firing(t *testing.T, groups map[string]*rules.Group) at {
	t.Helper()
	now := at{}
	for _, g := range groups {
		for _, r := range g.Rules() {
			if err := r.LastError(); err != nil {
				t.Fatalf("%s: %v", r.Name(), err)
			}
			alert, is := r.(*rules.AlertingRule)
			if !is {
				continue
			}
			for _, a := range alert.ActiveAlerts() {
				if a.State == rules.StateFiring {
					now[r.Name()] = strings.TrimPrefix(now[r.Name()]+"; "+a.Annotations.Get("summary"), "; ")
				}
			}
		}
	}
	return now
}

// healthy are series of three replicas with 60 bases that nothing is wrong with, for six
// hours; a story says what else there is. Modules come and go, and one in fifty does not start.
func healthy(except ...string) string {
	var lines []string
	add := func(name, labels, values string) {
		if !slices.Contains(except, name) && !slices.Contains(except, name+labels) {
			lines = append(lines, "  module_controller_"+name+labels+" "+values)
		}
	}
	for n := range 3 {
		add("members", replica(n), "3x1440")
		add("members_expired_total", replica(n), "0x1440")
		add("bases_assigned", replica(n), "20x1440")
		add("bases_owned", replica(n), "20x1440")
		add("bases_foreign", replica(n), "0x1440")
		add("bases", replica(n, `ready="true"`), "20x1440")
		add("bases", replica(n, `ready="false"`), "0x1440")
		add("renewals_behind_seconds", replica(n), "0.4x1440")
		add("leases_refused", replica(n), "0x1440")
		add("config_refused", replica(n), "0x1440")
		add("tunnel_up", replica(n, `tunnel="mqtt"`), "1x1440")
		add("watch_lag_seconds", replica(n, `resource="pods"`), "0.2x1440")
		add("messages_dropped_total", replica(n, `tunnel="mqtt"`, `reason="retained"`), "3x1440")
		add("messages_dropped_total", replica(n, `tunnel="mqtt"`, `reason="not_followed"`), "0+40x1440")
		add("commands_total", replica(n, `verb="install"`, `result="done"`), "0+49x1440")
		add("commands_total", replica(n, `verb="install"`, `result="failed"`), "0+1x1440")
	}
	return strings.Join(lines, "\n") + "\n"
}

// series is a line of a metric of ours.
func series(name, labels, values string) string {
	return "  module_controller_" + name + labels + " " + values + "\n"
}

const minute = time.Minute

// stories has for each alert when it fires, and when it does not.
func stories() map[string]story {
	return map[string]story{
		"nothing is wrong": {healthy(), map[time.Duration]at{minute: {}, time.Hour: {}, 2 * time.Hour: {}}},

		"no replica is scraped": {series("members", replica(0), "1x20 stale"), map[time.Duration]at{
			5 * minute: {}, 7 * minute: {}, 8 * minute: {"ModuleControllerDown": "No replica of module-controller was scraped for 2 minutes"},
		}},

		// mc-2 falls silent after ten minutes, and another expires it.
		"a replica fails and does not come back": {
			healthy("members", "members_expired_total"+replica(0)) + series("members", replica(0), "3x40 2x200") + series("members", replica(1), "3x40 2x200") +
				series("members_expired_total", replica(0), "0x40 1x200"),
			map[time.Duration]at{
				10 * minute: {}, 14 * minute: {}, 16 * minute: {"ModuleControllerMemberMissing": "1 of the replicas of module-controller failed and did not come back"},
				45 * minute: {},
			},
		},
		"a replica fails and is back after two minutes": {
			healthy("members", "members_expired_total"+replica(0)) + series("members", replica(0), "3x40 2x8 3x200") + series("members_expired_total", replica(0), "0x40 1x200"),
			map[time.Duration]at{11 * minute: {}, 16 * minute: {}, 30 * minute: {}},
		},
		"two replicas are taken away": {
			healthy("members") + series("members", replica(0), "3x40 1x200"), map[time.Duration]at{11 * minute: {}, 20 * minute: {}},
		},
		"replicas fail again and again": {
			healthy("members_expired_total"+replica(0)) + series("members_expired_total", replica(0), "0x20 1x40 2x40 3x400"),
			map[time.Duration]at{20 * minute: {}, 30 * minute: {"ModuleControllerMembersKeepFailing": "3 replicas of module-controller failed in an hour"}, 100 * minute: {}},
		},

		"a configuration is refused": {
			healthy("config_refused"+replica(1)) + series("config_refused", replica(1), "0x20 1x60 0x20"),
			map[time.Duration]at{
				5 * minute: {}, 10 * minute: {}, 11 * minute: {"ModuleControllerConfigRefused": "mc-1 has refused a changed configuration for 5 minutes"}, 21 * minute: {},
			},
		},

		"bases have no owner": {
			healthy("bases_owned"+replica(1)) + series("bases_owned", replica(1), "20x20 13x60 20x20"),
			map[time.Duration]at{5 * minute: {}, 7 * minute: {}, 8 * minute: {"ModuleControllerBasesUnowned": "7 bases have no owner for 2 minutes"}, 21 * minute: {}},
		},
		"bases move for a minute": {
			healthy("bases_owned"+replica(1)) + series("bases_owned", replica(1), "20x20 13x4 20x60"), map[time.Duration]at{6 * minute: {}, 8 * minute: {}},
		},

		"renewals are late, and then very late": {
			healthy("renewals_behind_seconds"+replica(2)) + series("renewals_behind_seconds", replica(2), "4.9x20 5.5x4 10.5x4 0x20"),
			map[time.Duration]at{
				5 * minute: {}, 5*minute + interval: {"ModuleControllerRenewalsBehind": "mc-2 renews Leases of bases 5.5s late"},
				6*minute + 2*interval: {
					"ModuleControllerRenewalsBehind":           "mc-2 renews Leases of bases 10.5s late",
					"ModuleControllerNodesAboutToTurnNotReady": "mc-2 renews Leases of bases 10.5s late; their Nodes are about to turn NotReady",
				},
				8 * minute: {},
			},
		},
		"the API server refuses all Leases": {
			healthy("leases_refused"+replica(0)) + series("leases_refused", replica(0), "0x20 1x4 0x20"),
			map[time.Duration]at{5 * minute: {}, 6 * minute: {"ModuleControllerLeasesRefused": "The API server refuses all that mc-0 writes of Leases of bases"}, 8 * minute: {}},
		},

		"a watch shows nothing": {
			healthy("watch_lag_seconds") + series("watch_lag_seconds", replica(0, `resource="nodes"`), "0x20 0+15x20") + series("watch_lag_seconds", replica(0, `resource="pods"`), "0x60"),
			map[time.Duration]at{
				5 * minute: {}, 6 * minute: {}, 7 * minute: {"ModuleControllerWatchBehind": "mc-0 sees nodes as they were 1m 45s ago"},
			},
		},
		"a watch is behind for a moment": {
			healthy("watch_lag_seconds") + series("watch_lag_seconds", replica(0, `resource="nodes"`), "0x20 30x2 0x20"), map[time.Duration]at{6 * minute: {}, 7 * minute: {}},
		},

		// After an hour in which all was done.
		"all commands fail": {
			healthy("commands_total") + series("commands_total", replica(0, `verb="install"`, `result="done"`), "0+4x240 960x240") +
				series("commands_total", replica(0, `verb="install"`, `result="failed"`), "0x240 0+4x240"),
			map[time.Duration]at{
				time.Hour: {}, time.Hour + 15*minute: {}, time.Hour + 50*minute: {"ModuleControllerCommandsFailing": "83.56% of the commands to bases fail or are lost"},
			},
		},
		"two of five commands are lost for hours": {
			healthy("commands_total") + series("commands_total", replica(0, `verb="install"`, `result="done"`), "0+3x1440") +
				series("commands_total", replica(0, `verb="uninstall"`, `result="lost"`), "0+2x1440"),
			map[time.Duration]at{time.Hour: {"ModuleControllerCommandsFailing": "40% of the commands to bases fail or are lost"}},
		},
		"eight commands fail, and nobody gave any other": {
			healthy("commands_total") + series("commands_total", replica(0, `verb="install"`, `result="failed"`), "0+1x8 8x240"), map[time.Duration]at{5 * minute: {}, time.Hour: {}},
		},
		"the failures are over": {
			healthy("commands_total") + series("commands_total", replica(0, `verb="install"`, `result="done"`), "0x120 0+20x400") +
				series("commands_total", replica(0, `verb="install"`, `result="failed"`), "0+4x120 480x400"),
			map[time.Duration]at{29 * minute: {"ModuleControllerCommandsFailing": "100% of the commands to bases fail or are lost"}, 70 * minute: {}},
		},

		"bases are not ready": {
			healthy("bases"+replica(1, `ready="false"`)) + series("bases", replica(1, `ready="false"`), "0x20 6x60 0x20"),
			map[time.Duration]at{
				5 * minute: {}, 15 * minute: {}, 16 * minute: {"ModuleControllerBasesNotReady": "9.091% of the bases are not ready for 10 minutes"}, 21 * minute: {},
			},
		},
		"one of sixty bases is not ready": {
			healthy("bases"+replica(1, `ready="false"`)) + series("bases", replica(1, `ready="false"`), "1x120"), map[time.Duration]at{30 * minute: {}},
		},

		"one base is refused again and again": {
			healthy() + series("messages_dropped_total", replica(0, `tunnel="http"`, `reason="no_workload"`), "0x20 0+1.5x100"),
			map[time.Duration]at{
				5 * minute: {}, 16 * minute: {}, 19 * minute: {"ModuleControllerHeartbeatsRefused": "30 messages of bases were refused in 5 minutes: no_workload"},
			},
		},
		"a hundred retained messages when the broker is back": {
			healthy() + series("messages_dropped_total", replica(0, `tunnel="mqtt"`, `reason="gone_unproved"`), "0x20 100x100"), map[time.Duration]at{6 * minute: {}, 16 * minute: {}},
		},

		"one replica has no link": {
			healthy("tunnel_up"+replica(1, `tunnel="mqtt"`)) + series("tunnel_up", replica(1, `tunnel="mqtt"`), "1x20 0x60"),
			map[time.Duration]at{7 * minute: {}, 8 * minute: {"ModuleControllerTunnelDown": "mc-1 has no link over mqtt for 2 minutes"}},
		},
		"no replica has a link": {
			healthy("tunnel_up") + series("tunnel_up", replica(0, `tunnel="mqtt"`), "1x20 0x60") + series("tunnel_up", replica(1, `tunnel="mqtt"`), "1x20 0x60"),
			map[time.Duration]at{7 * minute: {}, 8 * minute: {"ModuleControllerTunnelDownEverywhere": "No replica has a link over mqtt for 2 minutes"}},
		},
		"a replica connects after a minute": {
			healthy("tunnel_up"+replica(1, `tunnel="mqtt"`)) + series("tunnel_up", replica(1, `tunnel="mqtt"`), "0x4 1x60"), map[time.Duration]at{minute: {}, 4 * minute: {}},
		},

		"another installation holds bases": {
			healthy("bases_foreign"+replica(0)) + series("bases_foreign", replica(0), "0x20 4x60"),
			map[time.Duration]at{
				5 * minute: {}, 15 * minute: {}, 16 * minute: {"ModuleControllerBasesHeldByOthers": "4 bases are held by another installation or controller for 10 minutes"},
			},
		},
	}
}

// Each alert fires in its story and says how much, and in no other: not before it is certain,
// nor once it is over.
func TestEachRuleFiresWhenItShould(t *testing.T) {
	groups, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	silent := map[string]bool{}
	for _, r := range Each(groups) {
		silent[r.Alert] = r.Alert != ""
	}
	delete(silent, "")
	for name, s := range stories() {
		t.Run(name, func(t *testing.T) {
			got := play(t, s.series, slices.Collect(maps.Keys(s.fires)))
			if diff := cmp.Diff(s.fires, got); diff != "" {
				t.Errorf("what fires (-want +got):\n%s", diff)
			}
		})
		for _, fires := range s.fires {
			for alert := range fires {
				delete(silent, alert)
			}
		}
	}
	for alert := range silent {
		t.Errorf("%s fires in no story", alert)
	}
}

// Each expression asks for metrics that a replica serves or a rule before it records; each
// alert says what is so, and how bad that is.
func TestTheRulesAskForMetricsThatThereAre(t *testing.T) {
	groups, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	known, err := Served()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Each(groups) {
		names, err := Metrics(r.Expr)
		if err != nil || len(names) == 0 {
			t.Errorf("%s%s asks for %v: %v", r.Alert, r.Record, names, err)
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s%s asks for %s, which there is not", r.Alert, r.Record, name)
			}
		}
		if r.Record != "" {
			known[r.Record] = true
			continue
		}
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s says too little: %v", r.Alert, r.Annotations)
		}
	}
}

// What is scaled is what takes time, and nothing else.
func TestScaledRulesTakeLessTime(t *testing.T) {
	groups, err := Parse([]byte(`groups: [{name: g, interval: 15s, rules: [{alert: A, for: 5m, expr: "max_over_time(sum(rate(a[1h]))[30m:15s]) > 300 and b offset 10m > 5"}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := Scaled(groups, 20)
	if err != nil {
		t.Fatal(err)
	}
	scaled, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	g := scaled.Groups[0]
	if r := g.Rules[0]; g.Interval != model.Duration(750*time.Millisecond) || r.For != model.Duration(15*time.Second) ||
		r.Expr != "max_over_time(sum(rate(a[3m]))[1m30s:750ms]) > 300 and b offset 30s > 5" {
		t.Errorf("it is %+v", g)
	}
	if was := groups.Groups[0].Rules[0]; was.For != model.Duration(5*time.Minute) {
		t.Errorf("the rules themselves have changed: %+v", was)
	}
}
