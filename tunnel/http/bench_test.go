package httptunnel

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// BenchmarkOthers compares how long a command to one of 20 living bases takes, from Do to
// the report: alone; beside 600 bases that accept requests and never answer, which get as
// many as the tunnel starts; and while 600 other bases have an install under way, which is
// polled all the time. The turns alternate; each ratio is to be about 1, but that the polls
// are requests too. A command that is refused fails it.
func BenchmarkOthers(b *testing.B) {
	const living, others = 20, 600
	heard := &stopwatch{reports: map[tunnel.BaseID]chan time.Time{}}
	tun, err := New(Config{Listen: freeAddress(b), Env: "dev", Auth: AuthAnyone, Allowed: prefixes("127.0.0.0/8")}, zap.NewNop(), tunnel.NoMeter)
	if err != nil {
		b.Fatal(err)
	}
	run(b, tun, heard)
	var good []tunnel.Heartbeat
	for range living {
		h := server(b, atOnce)
		heard.reports[h.Base] = make(chan time.Time, 1)
		good = append(good, h)
		tun.Follow(h)
	}
	port := hole(b)
	var begun atomic.Int32
	busy := server(b, func(w http.ResponseWriter, r *http.Request) {
		alwaysInstalling(w, r)
		if r.URL.Path == "/installBiz" {
			begun.Add(1)
		}
	})
	ills := []ill{
		{"alone", func() []tunnel.BaseID { return nil }},
		{"600-dead", func() []tunnel.BaseID { return dead(b, tun, others, port) }},
		{"600-installs", func() []tunnel.BaseID {
			begun.Store(0)
			bases := installing(b, tun, others, busy)
			tunneltest.Await(b, "all installs to have begun", func() bool { return begun.Load() == others })
			return bases
		}},
	}
	heard.roundTrips(b, tun, good) // the first command to a base asks for help, too
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, one := range ills {
			bases := one.begin()
			for range 10 {
				took[one.name] = append(took[one.name], heard.roundTrips(b, tun, good)...)
			}
			for _, id := range bases {
				tun.Unfollow(id)
			}
			tunneltest.Await(b, "the end of all requests", tun.idle)
		}
	}
	for _, one := range ills {
		b.ReportMetric(float64(p99(took[one.name]).Microseconds()), "p99-µs/"+one.name)
		b.ReportMetric(float64(p99(took[one.name]))/float64(p99(took["alone"])), "ratio/"+one.name)
	}
}

// BenchmarkPoll says what it costs to ask a base for its list, which has 20 modules: by a
// connection of its own, as arklet has it, which closes each, and, to compare, over one that
// is kept, which is not to be had from a base. Both are one after the other; the base, in the
// same process, is about as dear in both, so the difference is the connection's. The processor
// time is that of both sides and of their sockets.
func BenchmarkPoll(b *testing.B) {
	body := `{"code":"SUCCESS","data":[`
	for i := range 20 {
		body += fmt.Sprintf(`{"bizName":"module-%d","bizVersion":"1.0.0","bizState":"ACTIVATED","webContextPath":"m","bizStateRecords":[{"changeTime":1764400000000,"state":"ACTIVATED"}]},`, i)
	}
	body = strings.TrimSuffix(body, ",") + "]}"
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	for _, kept := range []bool{false, true} {
		b.Run(map[bool]string{false: "closed", true: "kept"}[kept], func(b *testing.B) {
			h := server(b, answer)
			heard := &stopwatch{reports: map[tunnel.BaseID]chan time.Time{h.Base: make(chan time.Time, 1)}}
			tun, err := New(Config{Listen: freeAddress(b), Env: "dev", Auth: AuthAnyone, Allowed: prefixes("127.0.0.0/8")}, zap.NewNop(), tunnel.NoMeter)
			if err != nil {
				b.Fatal(err)
			}
			transport := tun.client.Transport.(*http.Transport)
			transport.DisableKeepAlives = !kept
			b.Cleanup(transport.CloseIdleConnections)
			run(b, tun, heard)
			tun.Follow(h)
			poll := func() {
				tunneltest.Await(b, "room for the poll", func() bool { return tun.Do(b.Context(), h.Base, list) == nil })
				<-heard.reports[h.Base]
			}
			poll() // which asks for help, too
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				poll()
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// processorTime is what this process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// ill is what goes on beside the living; begin gives the bases that are to end.
type ill struct {
	name  string
	begin func() []tunnel.BaseID
}

// alwaysInstalling is a base whose installs never end.
func alwaysInstalling(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/help" {
		_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[{"id":"queryBizOps"}]}`)
		return
	}
	_, _ = io.WriteString(w, `{"code":"SUCCESS","data":{"status":"EXECUTING"}}`)
}

// installing has bases at one place install for ever.
func installing(b *testing.B, tun *Tunnel, n int, h tunnel.Heartbeat) (bases []tunnel.BaseID) {
	b.Helper()
	for i := range n {
		h.Base.Identity = fmt.Sprint("installing-", i)
		tun.Follow(h)
		bases = append(bases, h.Base)
		install := tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "m", Version: "1"}, URL: "http://x/m.jar", RequestID: fmt.Sprint(i)}
		tunneltest.Await(b, "room for the install", func() bool { return tun.Do(b.Context(), h.Base, install) == nil })
	}
	return bases
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
