package httptunnel

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// BenchmarkDeadBases compares how long a command to one of 50 bases takes, from Do
// to the report, while 0, 1 and 5 more accept requests and never answer. Those get
// as many as the tunnel starts. The turns alternate; each ratio is to be about 1.
func BenchmarkDeadBases(b *testing.B) {
	const bases = 50
	heard := &stopwatch{reports: map[tunnel.BaseID]chan time.Time{}}
	var good, dead []tunnel.Heartbeat
	for range bases {
		h := server(b, atOnce)
		heard.reports[h.Base] = make(chan time.Time, 1)
		good = append(good, h)
	}
	var held atomic.Int32 // requests that the dead ones have
	for range 5 {
		dead = append(dead, server(b, func(w http.ResponseWriter, r *http.Request) {
			held.Add(1)
			defer held.Add(-1)
			never(w, r)
		}))
	}
	tun, err := New(Config{Listen: freeAddress(b), Env: "dev", Auth: AuthAnyone, Allowed: prefixes("127.0.0.0/8")}, zap.NewNop(), tunnel.NoMeter)
	if err != nil {
		b.Fatal(err)
	}
	run(b, tun, heard)
	for _, h := range good {
		tun.Follow(h)
	}
	took := map[int][]time.Duration{}
	turn := func(ill int) {
		for _, h := range dead[:ill] {
			tun.Follow(h)
			defer tun.Unfollow(h.Base)
		}
		for _, h := range dead[:ill] {
			for tun.Do(b.Context(), h.Base, list) == nil {
			}
		}
		tunneltest.Await(b, "the dead to hold all", func() bool { return int(held.Load()) == ill*tun.cfg.PerBase })
		took[ill] = append(took[ill], heard.roundTrips(b, tun, good)...)
	}
	turn(0) // the first command to a base asks for help, too
	clear(took)
	for b.Loop() {
		for _, ill := range []int{0, 1, 5} {
			turn(ill)
			tunneltest.Await(b, "the end of all requests", func() bool { return tun.idle() && held.Load() == 0 })
		}
	}
	without := p99(took[0])
	for _, ill := range []int{0, 1, 5} {
		b.ReportMetric(float64(p99(took[ill]).Microseconds()), fmt.Sprintf("p99-µs/%d-dead", ill))
		b.ReportMetric(float64(p99(took[ill]))/float64(without), fmt.Sprintf("ratio/%d-dead", ill))
	}
}

func p99(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)*99/100]
}

// stopwatch tells when a base's list came.
type stopwatch struct {
	reports map[tunnel.BaseID]chan time.Time
}

func (*stopwatch) Heartbeat(tunnel.Heartbeat) {}
func (*stopwatch) Link(tunnel.Link)           {}
func (s *stopwatch) Report(r tunnel.Report) {
	if r.Listed {
		s.reports[r.Base] <- r.Received
	}
}

var list = tunnel.Command{Verb: tunnel.ListModules}

// roundTrips commands each base once, two at a time.
func (s *stopwatch) roundTrips(b *testing.B, tun *Tunnel, good []tunnel.Heartbeat) []time.Duration {
	b.Helper()
	took := make([]time.Duration, len(good))
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			for n := worker; n < len(good); n += 2 {
				began := time.Now()
				if err := tun.Do(b.Context(), good[n].Base, list); err != nil {
					b.Error(err)
					return
				}
				took[n] = (<-s.reports[good[n].Base]).Sub(began)
			}
		})
	}
	wg.Wait()
	return took
}
