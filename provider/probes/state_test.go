package probes

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

var (
	start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	// usual is a probe with the API server's defaults.
	usual = timing{period: 10 * time.Second, timeout: time.Second, successes: 1, failures: 3}
)

func none(time.Duration) time.Duration { return 0 }

// moduleWith is a module that began to serve at start, with probes of these kinds.
func moduleWith(was seed, all ...kind) *module {
	var timings [kinds]*timing
	for _, k := range all {
		t := usual
		timings[k] = &t
	}
	was.since = metav1.NewTime(start)
	return newModule(was, timings, start, none)
}

// says is what is told of a module, in short.
func (m *module) says() string {
	p := m.probed()
	return fmt.Sprintf("started=%t ready=%t dead=%q", p.Started, p.Ready, p.Dead)
}

// What probes find, and what is told of the module after each.
func TestWhatCountsAndWhen(t *testing.T) {
	type step struct {
		kind    kind
		outcome outcome
		want    string
	}
	const unready, ready = `started=true ready=false dead=""`, `started=true ready=true dead=""`
	for name, c := range map[string]struct {
		probes []kind
		was    seed
		change func(*module)
		begins string
		steps  []step
	}{
		"no probe that can be made passes": {begins: ready},
		"readiness begins as failed and passes at once": {probes: []kind{readiness}, begins: unready, steps: []step{
			{readiness, failed, unready}, {readiness, passed, ready}}},
		"readiness is lost at the third failure in a row": {probes: []kind{readiness}, begins: unready, steps: []step{
			{readiness, passed, ready}, {readiness, failed, ready}, {readiness, failed, ready}, {readiness, passed, ready},
			{readiness, failed, ready}, {readiness, failed, ready}, {readiness, failed, unready}}},
		"readiness is won at the success threshold": {probes: []kind{readiness}, begins: unready,
			change: func(m *module) { m.checks[readiness].successes = 2 }, steps: []step{
				{readiness, passed, unready}, {readiness, failed, unready}, {readiness, passed, unready}, {readiness, passed, ready}}},
		"what could not be made neither counts nor interrupts": {probes: []kind{readiness}, begins: unready, steps: []step{
			{readiness, passed, ready}, {readiness, failed, ready}, {readiness, failed, ready}, {readiness, unknown, ready}, {readiness, failed, unready}}},
		"whoever is not reached is not ready": {probes: []kind{readiness}, was: seed{ready: true}, begins: ready, steps: []step{
			{readiness, unreachable, ready}, {readiness, failed, ready}, {readiness, unreachable, unready}}},
		"liveness begins as passed and ends at the third failure": {probes: []kind{liveness}, begins: ready, steps: []step{
			{liveness, failed, ready}, {liveness, failed, ready}, {liveness, failed, `started=true ready=true dead="3"`}}},
		"nothing is installed anew because the way is broken": {probes: []kind{liveness}, begins: ready, steps: []step{
			{liveness, unreachable, ready}, {liveness, unreachable, ready}, {liveness, unreachable, ready}, {liveness, unreachable, ready},
			{liveness, unknown, ready}, {liveness, unknown, ready}, {liveness, unknown, ready}}},
		"startup comes first": {probes: []kind{startup, readiness}, begins: `started=false ready=false dead=""`, steps: []step{
			{startup, failed, `started=false ready=false dead=""`}, {startup, passed, unready}, {readiness, passed, ready}}},
		"a start that fails too often ends": {probes: []kind{startup}, begins: `started=false ready=false dead=""`, steps: []step{
			{startup, failed, `started=false ready=false dead=""`}, {startup, unreachable, `started=false ready=false dead=""`},
			{startup, failed, `started=false ready=false dead=""`}, {startup, failed, `started=false ready=false dead="4"`}}},
		"what was started and ready stays so until it is probed": {probes: []kind{startup, readiness, liveness}, was: seed{started: true, ready: true}, begins: ready,
			steps: []step{{readiness, failed, ready}, {readiness, failed, ready}, {readiness, failed, unready}}},
		"a pod that leaves need not live": {probes: []kind{readiness, liveness}, begins: unready, change: func(m *module) { m.leaving = true }, steps: []step{
			{readiness, passed, ready}, {liveness, failed, ready}, {liveness, failed, ready}, {liveness, failed, ready}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := moduleWith(c.was, c.probes...)
			if c.change != nil {
				c.change(m)
			}
			if got := m.says(); got != c.begins {
				t.Fatalf("it begins as %s, want %s", got, c.begins)
			}
			for i, s := range c.steps {
				was := m.says()
				at := start.Add(time.Duration(i) * time.Second)
				changed := m.took(s.kind, s.outcome, fmt.Sprint(i+1), at, at)
				if got := m.says(); got != s.want {
					t.Fatalf("step %d, %s %s: %s, want %s", i+1, s.kind, s.outcome, got, s.want)
				} else if got != was && !changed {
					t.Errorf("step %d changed it and says that it did not", i+1)
				}
			}
		})
	}
}

func TestWhatIsProbedWhen(t *testing.T) {
	m := moduleWith(seed{}, startup, readiness, liveness)
	wants := func() (all []kind) {
		for k := range kinds {
			if m.wants(kind(k)) {
				all = append(all, kind(k))
			}
		}
		return all
	}
	check := func(want ...kind) {
		t.Helper()
		if got := wants(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v are probed, want %v", got, want)
		}
	}
	check(startup)
	m.checks[readiness].delay = 30 * time.Second
	at := start.Add(20 * time.Second)
	m.took(startup, passed, "", at, at)
	check(readiness, liveness)
	if due := m.checks[readiness].due; !due.Equal(start.Add(30 * time.Second)) {
		t.Errorf("readiness is due at %s: its delay counts from the module's start", due)
	}
	if due := m.checks[liveness].due; !due.Equal(at) {
		t.Errorf("liveness is due at %s: it waited for the start only", due)
	}
	m.leaving = true
	check(readiness)
	m.leaving = false
	for range 3 {
		m.took(liveness, failed, "dead", at, at)
	}
	check(readiness) // until it is installed anew
}

func TestWhenAProbeIsDue(t *testing.T) {
	late := usual
	late.delay = 5 * time.Second
	half := func(d time.Duration) time.Duration { return d / 2 }
	for name, c := range map[string]struct {
		timing timing
		now    time.Time
		spread func(time.Duration) time.Duration
		want   time.Duration // after start
	}{
		"at once":                {usual, start, none, 0},
		"after its delay":        {late, start, none, 5 * time.Second},
		"when the delay is past": {late, start.Add(time.Minute), none, time.Minute},
		"spread over its period": {late, start.Add(time.Minute), half, 65 * time.Second},
	} {
		m := newModule(seed{since: metav1.NewTime(start)}, [kinds]*timing{readiness: &c.timing}, c.now, c.spread)
		if got := m.checks[readiness].due; !got.Equal(start.Add(c.want)) {
			t.Errorf("%s: due at %s, want %s", name, got, start.Add(c.want))
		}
	}
	m := moduleWith(seed{}, readiness)
	m.took(readiness, passed, "", start, start.Add(time.Second))
	if got := m.checks[readiness].due; !got.Equal(start.Add(10 * time.Second)) {
		t.Errorf("the next is due at %s: periods count from the beginning of a probe", got)
	}
	m.took(readiness, passed, "", start, start.Add(25*time.Second))
	if got := m.checks[readiness].due; !got.Equal(start.Add(25 * time.Second)) {
		t.Errorf("the next is due at %s: none is made up for", got)
	}
}

// A message is a write of the pod's status, so it changes once in a while only.
func TestMessagesHaveAPace(t *testing.T) {
	m := moduleWith(seed{}, readiness)
	for _, c := range []struct {
		after   time.Duration
		outcome outcome
		message string
		want    string
		changed bool
	}{
		{0, unknown, "no such host", "no such host", true},
		{time.Second, failed, "refused", "no such host", false},
		{2 * time.Minute, failed, "refused", "refused", true},
		{2*time.Minute + time.Second, failed, "code 500", "refused", false},
		{4 * time.Minute, failed, "code 500", "code 500", true},
		{5 * time.Minute, passed, "", "", true},
		{6 * time.Minute, failed, "refused", "", false}, // it is ready until the third
	} {
		at := start.Add(c.after)
		changed := m.took(readiness, c.outcome, c.message, at, at)
		if got := m.probed().Message; got != c.want || changed != c.changed {
			t.Errorf("after %s: message %q, changed %t; want %q, %t", c.after, got, changed, c.want, c.changed)
		}
	}
}

// twin is the rule in other words: it keeps all outcomes and looks at the last ones.
type twin struct{ seen [kinds][]outcome }

func (w *twin) lastAre(k kind, o outcome, n int) bool {
	seen := w.seen[k]
	if len(seen) < n {
		return false
	}
	for _, is := range seen[len(seen)-n:] {
		if is != o {
			return false
		}
	}
	return true
}

// Whatever probes find, in whatever order: the state is as the thresholds say.
func TestThresholdsHoldInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := moduleWith(seed{}, startup, readiness, liveness)
		m.checks[readiness].successes = rapid.IntRange(1, 3).Draw(t, "successes")
		for _, c := range m.checks {
			c.failures = rapid.IntRange(1, 4).Draw(t, "failures")
		}
		var w twin
		ready := false
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			k, o := kind(rapid.IntRange(0, kinds-1).Draw(t, "kind")), outcome(rapid.IntRange(0, outcomes-1).Draw(t, "outcome"))
			if !m.wants(k) {
				continue
			}
			at := start.Add(time.Duration(i) * time.Second)
			m.took(k, o, "why", at, at)
			if o == unreachable && k == readiness {
				o = failed
			}
			if o > unreachable {
				w.seen[k] = append(w.seen[k], o)
			}
			switch c := m.checks[readiness]; {
			case w.lastAre(readiness, passed, c.successes):
				ready = true
			case w.lastAre(readiness, failed, c.failures):
				ready = false
			}
			dead := w.lastAre(liveness, failed, m.checks[liveness].failures) || w.lastAre(startup, failed, m.checks[startup].failures)
			started := w.lastAre(startup, passed, 1)
			if p := m.probed(); p.Started != started || p.Ready != (started && ready) || (p.Dead != "") != dead {
				t.Fatalf("after %v it is %s; want started=%t ready=%t dead=%t", w.seen, m.says(), started, started && ready, dead)
			}
		}
	})
}
