package mqtttunnel

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// A broker that takes few filters serves all bases, whatever it limits and however it
// says so, and a lost connection is not needed to find out twice.
func TestABrokerThatTakesFewFiltersServesAllBases(t *testing.T) {
	const bases = 120
	for name, c := range map[string]struct {
		limits  basetest.Limits
		all     bool // the reports of all bases are heard
		dropped bool // filters were refused for good
	}{
		"no limit":                {},
		"few in all":              {limits: basetest.Limits{Filters: 50}, all: true, dropped: true},
		"few at once are refused": {limits: basetest.Limits{AtOnce: 10}},
		"many at once end it":     {limits: basetest.Limits{MostAsked: 10}},
		"one at a time":           {limits: basetest.Limits{AtOnce: 1}},
		"both":                    {limits: basetest.Limits{Filters: 50, MostAsked: 25}, all: true, dropped: true},
	} {
		t.Run(name, func(t *testing.T) {
			broker := newBroker(t)
			broker.Limit(c.limits)
			tun, s, dropped := countedOn(t, broker, nil)
			for n := range bases {
				tun.Follow(tunnel.Heartbeat{Base: id(n)})
			}
			check := func() {
				t.Helper()
				for n := range bases {
					tunneltest.Await(t, "the base to be served", func() bool {
						return tun.Do(t.Context(), id(n), tunnel.Command{Verb: tunnel.ListModules}) == nil
					})
				}
				was := s.Recorded().Lists(id(bases - 1))
				say(t, broker, id(bases-1))
				tunneltest.Await(t, "a list", func() bool { return s.Recorded().Lists(id(bases-1)) == was+1 })
			}
			check()
			if got := tun.hearsAll(); got != c.all {
				t.Errorf("the reports of all bases are heard: %t, want %t", got, c.all)
			}
			if got := dropped.of("subscription_refused") > 0; got != c.dropped {
				t.Errorf("%d filters refused, want any: %t", dropped.of("subscription_refused"), c.dropped)
			}
			ups := s.Recorded().Ups()
			if err := broker.Restart(); err != nil {
				t.Fatal(err)
			}
			tunneltest.Await(t, "up again", func() bool { return s.Recorded().Ups() > ups })
			check()
			if n := s.Recorded().Ups(); n != ups+1 {
				t.Errorf("after the restart there were %d connections, want 1", n-ups)
			}
		})
	}
}

func (t *Tunnel) hearsAll() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.current != nil && t.current.wildcards
}

// A broker that refuses filters of single bases and of all goes on with those that it
// accepted.
func TestABrokerThatRefusesAllFiltersTooKeepsTheAccepted(t *testing.T) {
	broker := newBroker(t)
	var mu sync.Mutex
	asked := map[string]int{}
	broker.Deny(func(filter string) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[filter]++
		refused := slices.ContainsFunc([]string{"b1", "b2", "b3", "b4", "b5"}, func(b string) bool { return filter == "koupleless_dev/"+b+"/base/+" })
		return refused || strings.HasPrefix(filter, "koupleless_dev/+/base/bizOperation")
	})
	tun, _ := startOn(t, broker.Address(), nil)
	for n := range 8 {
		tun.Follow(tunnel.Heartbeat{Base: id(n)})
	}
	times := func(filter string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return asked[filter] >= 2
		}
	}
	tunneltest.Await(t, "a refused filter is tried again", times("koupleless_dev/b1/base/+"))
	tunneltest.Await(t, "what was given up for all is back", times("koupleless_dev/b0/base/+"))
	tunneltest.Await(t, "three are served", tun.hears(3))
	mu.Lock()
	defer mu.Unlock()
	if n := asked["koupleless_dev/+/base/simpleBiz"]; tun.hearsAll() || n == 0 {
		t.Errorf("all are heard: %t, asked for %d times", tun.hearsAll(), n)
	}
}

// A batch is halved only where no batch of its size was ever accepted.
func TestABatchIsHalvedOnlyForItsSize(t *testing.T) {
	for _, c := range []struct {
		proven, filters int
		want            int32
	}{{0, 200, 100}, {0, 11, 5}, {0, 1, 200}, {200, 200, 200}, {10, 11, 5}, {10, 10, 200}} {
		var b batch
		b.size.Store(maxBatch)
		b.proven.Store(int32(c.proven))
		if b.halve(c.filters); b.size.Load() != c.want {
			t.Errorf("after %d with %d proven: %d, want %d", c.filters, c.proven, b.size.Load(), c.want)
		}
	}
}
