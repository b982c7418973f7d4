package fired

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/teststorage"

	"module-controller/e2e/alerts"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

const (
	// scale is by how much all that takes time in the rules is divided.
	scale = 20
	// interval is how often replicas are scraped: the 15 s that the rules want, scaled.
	interval = 15 * time.Second / scale
	// lookback is Prometheus' own five minutes, scaled.
	lookback = 5 * time.Minute / scale
	job      = "module-controller"
)

// monitor is Prometheus, for the replicas of one World.
type monitor struct {
	*world.World
	storage *teststorage.TestStorage
	rules   *rules.Manager
	// expected is what may have fired.
	expected map[string]bool

	mu   sync.Mutex
	told map[string]bool // what has fired; mu guards it
}

// monitored begins to scrape the World's replicas, with a bearer token or with none, and to
// evaluate the rules.
func monitored(w *world.World, token string) *monitor {
	w.Helper()
	m := &monitor{World: w, storage: teststorage.New(w), expected: map[string]bool{}, told: map[string]bool{}}
	m.scrapes(token)
	m.evaluates()
	return m
}

// scrapes has each replica scraped until the test ends, with the labels that a PodMonitor
// gives.
func (m *monitor) scrapes(token string) {
	m.Helper()
	text := fmt.Sprintf("scrape_configs: [{job_name: %s, scrape_interval: %s, scrape_timeout: %s", job, model.Duration(interval), model.Duration(interval))
	if token != "" {
		text += ", authorization: {credentials: " + token + "}"
	}
	cfg, err := config.Load(text+"}]", promslog.NewNopLogger())
	m.Must(err)
	s, err := scrape.NewManager(&scrape.Options{DiscoveryReloadInterval: model.Duration(interval), DiscoveryReloadOnStartup: true},
		promslog.NewNopLogger(), nil, nil, m.storage, prometheus.NewRegistry())
	m.Must(err)
	m.Must(s.ApplyConfig(cfg))
	found := make(chan map[string][]*targetgroup.Group)
	var wait sync.WaitGroup
	wait.Go(func() { _ = s.Run(found) })
	m.Cleanup(func() { s.Stop(); wait.Wait() })
	found <- map[string][]*targetgroup.Group{job: {m.targets()}}
}

func (m *monitor) targets() *targetgroup.Group {
	group := &targetgroup.Group{Source: job}
	for i, r := range m.Replicas {
		group.Targets = append(group.Targets, model.LabelSet{
			model.AddressLabel: model.LabelValue(r.Setting("METRICS_BIND_ADDRESS")), "namespace": model.LabelValue(m.Env),
			"pod": model.LabelValue(world.ReplicaName(i)),
		})
	}
	return group
}

// evaluates has the rules evaluated until the test ends.
func (m *monitor) evaluates() {
	m.Helper()
	groups, err := alerts.Load()
	m.Must(err)
	text, err := alerts.Scaled(groups, scale)
	m.Must(err)
	file := m.File("alerts.yaml", string(text))
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: lookback, EnableAtModifier: true, EnableNegativeOffset: true})
	m.rules = rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine, m.storage), AppendableV2: m.storage, Queryable: m.storage, Context: context.WithoutCancel(m.Context()),
		NotifyFunc: m.tell, Logger: promslog.NewNopLogger(), Parser: alerts.Parser(), Registerer: prometheus.NewRegistry(),
	})
	m.Must(m.rules.Update(interval, []string{filepath.Clean(file)}, labels.EmptyLabels(), "", nil))
	var wait sync.WaitGroup
	wait.Go(m.rules.Run)
	m.Cleanup(func() { m.rules.Stop(); wait.Wait(); _ = engine.Close() })
}

// tell keeps which alerts fire, however short.
func (m *monitor) tell(_ context.Context, _ string, fired ...*rules.Alert) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range fired {
		if a.State == rules.StateFiring {
			m.told[a.Labels.Get(labels.AlertName)] = true
		}
	}
}

// firing gives the alerts that fire now, and an error where a rule cannot be evaluated.
func (m *monitor) firing() (names []string, err error) {
	for _, r := range m.rules.Rules() {
		if err := r.LastError(); err != nil {
			return nil, harness.Final(fmt.Errorf("%s: %w", r.Name(), err))
		}
		if a, is := r.(*rules.AlertingRule); is && a.State() == rules.StateFiring {
			names = append(names, a.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// others gives what has fired and was not expected.
func (m *monitor) others() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.told)), func(name string) bool { return m.expected[name] })
}

// may says that alerts may fire from now on, for what is done leads to them.
func (m *monitor) may(names ...string) {
	for _, name := range names {
		m.expected[name] = true
	}
}

// fires waits until alerts fire, while do is done again and again, if it is not nil. No other
// may have fired.
func (m *monitor) fires(do func(), names ...string) {
	m.Helper()
	m.may(names...)
	began := time.Now()
	m.Eventually(world.Timeout, func() error {
		if do != nil {
			do()
		}
		now, err := m.firing()
		switch others := m.others(); {
		case err != nil:
			return err
		case len(others) > 0:
			return harness.Final(fmt.Errorf("%v fired, want %v only", others, names))
		}
		for _, name := range names {
			if !slices.Contains(now, name) {
				return fmt.Errorf("%v fire, want %v", now, names)
			}
		}
		return nil
	})
	m.Logf("%v fired after %s", names, time.Since(began).Round(100*time.Millisecond))
}

// every does something where that was not done for a while.
func every(pause time.Duration, do func()) func() {
	var last time.Time
	return func() {
		if time.Since(last) >= pause {
			last = time.Now()
			do()
		}
	}
}

// ends waits until alerts fire no more.
func (m *monitor) ends(names ...string) {
	m.Helper()
	m.Eventually(world.Timeout, func() error {
		now, err := m.firing()
		if err != nil {
			return err
		}
		for _, name := range names {
			if slices.Contains(now, name) {
				return fmt.Errorf("%v fire still", now)
			}
		}
		return nil
	})
	m.only()
}

// only checks that nothing has fired but what was expected.
func (m *monitor) only() {
	m.Helper()
	if others := m.others(); len(others) > 0 {
		m.Errorf("%v fired", others)
	}
}

// scraped waits until the replicas were scraped, and have a history: what is measured as an
// increase needs a sample before it.
func (m *monitor) scraped() {
	m.Helper()
	began := time.Now()
	m.Eventually(world.Timeout, func() error {
		if left := 5*interval - time.Since(began); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
}
