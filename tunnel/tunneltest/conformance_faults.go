package tunneltest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"module-controller/tunnel"
)

func restartIsSeen(s *fixture) {
	b := s.one(Options{})
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	first := s.health(b).Uptime
	Await(s, "an uptime that a restart takes less than", func() bool { return s.health(b).Uptime >= first+soon })
	before, since := s.health(b).Uptime, s.sink.now()
	b.Restart()
	if _, ok := s.sink.beat(within(s.T, enough), since, func(h tunnel.Heartbeat) bool { return h.Base == b.ID() }); !ok {
		s.Error("no heartbeat after a restart")
	}
	if after := s.health(b).Uptime; after >= before {
		s.Errorf("uptime %s before a restart and %s after it", before, after)
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{})
}

func deadHeartbeatAnswers(s *fixture) {
	b := s.one(Options{})
	b.Suffer(Fault{NoHeartbeat: true})
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{key("orders", "1.0.0"): tunnel.Activated})
}

// pair starts two bases, follows them, and does something to the first.
func (s *fixture) pair(f Fault) (hurt, well Base) {
	s.Helper()
	hurt, well = s.base(Options{Identity: "hurt"}), s.base(Options{Identity: "well"})
	s.start(hurt, well)
	s.follow(hurt)
	s.follow(well)
	hurt.Suffer(f)
	return hurt, well
}

func slowDelaysNoOther(s *fixture) {
	slow, quick := s.pair(Fault{Slow: time.Hour})
	for range 20 {
		err := s.Tunnel.Do(s.Context(), slow.ID(), tunnel.Command{Verb: tunnel.ListModules})
		if err != nil && !errors.Is(err, tunnel.ErrBusy) {
			s.Fatal(err)
		}
	}
	began := time.Now()
	const questions = 20
	for range questions {
		s.list(quick)
	}
	if took := time.Since(began); took > questions*soon/4 {
		s.Errorf("%d questions to another base took %s", questions, took)
	}
}

// silent checks that a base is not reported while another one is.
func (s *fixture) silent(hurt, well Base) {
	s.Helper()
	since := s.sink.now()
	for range 3 {
		err := s.Tunnel.Do(s.Context(), hurt.ID(), tunnel.Command{Verb: tunnel.ListModules})
		if err != nil && !errors.Is(err, tunnel.ErrNotFollowed) && !errors.Is(err, tunnel.ErrBusy) {
			s.Errorf("Do: %v", err)
		}
		s.list(well)
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	if r, reported := first(s.sink.reports[since.reports:], func(r tunnel.Report) bool { return r.Base == hurt.ID() }); reported {
		s.Errorf("a silent base is reported: %+v", r)
	}
}

func muteIsDelivered(s *fixture) {
	mute, well := s.pair(Fault{Mute: true})
	s.silent(mute, well)
	since := s.sink.now()
	if _, ok := s.sink.beat(within(s.T, enough), since, func(h tunnel.Heartbeat) bool { return h.Base == mute.ID() }); !ok {
		s.Error("its heartbeat is not delivered")
	}
}

func goneIsSilent(s *fixture) {
	gone, well := s.pair(Fault{})
	gone.Stop()
	s.silent(gone, well)
}

func unfollowedIsSilent(s *fixture) {
	left, well := s.pair(Fault{})
	s.Tunnel.Unfollow(left.ID())
	s.silent(left, well)
	err := s.Tunnel.Do(s.Context(), left.ID(), s.install("orders", "1.0.0"))
	if !errors.Is(err, tunnel.ErrNotFollowed) {
		s.Errorf("Do: %v, want ErrNotFollowed", err)
	}
	if err := s.Tunnel.Do(s.Context(), tunnel.BaseID{Env: "default", Identity: "nobody"}, s.install("orders", "1.0.0")); !errors.Is(err, tunnel.ErrNotFollowed) {
		s.Errorf("Do to a base that never was: %v, want ErrNotFollowed", err)
	}
	s.follow(left) // it can be followed again
}

// lateReportIsDropped: a report that is being delivered while the base is unfollowed is
// delivered before Unfollow returns, or not at all.
func lateReportIsDropped(s *fixture) {
	b := s.one(Options{})
	arrived, left := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.sink.slow(func() {
		once.Do(func() {
			close(arrived)
			select {
			case <-left:
			case <-time.After(soon / 5): // Unfollow waits for it
			}
		})
	})
	s.send(b, tunnel.Command{Verb: tunnel.ListModules})
	select {
	case <-arrived:
	case <-time.After(enough):
		s.Fatal("no report came")
	}
	s.Tunnel.Unfollow(b.ID())
	close(left)
} // that nothing came later is judged

func garbageHurtsNobody(s *fixture) {
	b := s.one(Options{})
	for _, text := range []string{
		"", "not json", "null", "[]", "{", `{"data":`, "\x00", "\xff\xfe", "7", `"text"`, `{"data":null}`, `{"data":[null,7,{}]}`,
		`{"publishTimestamp":"x","data":{"baseMetadata":{"identity":7}}}`, `{"data":{"baseMetadata":{"identity":"somebody else"}}}`,
		`{"baseMetadata":{"identity":"a/b"},"localIP":"x","port":"y"}`, `{"baseMetadata":{"identity":""},"port":-1}`,
		strings.Repeat("[", 10_000), `{"data":` + strings.Repeat(`{"a":`, 10_000), strings.Repeat("x", 2<<20),
	} {
		if s.Longest == 0 || len(text) < s.Longest {
			b.Babble([]byte(text))
		}
	}
	since := s.sink.now()
	s.send(b, s.install("orders", "1.0.0"))                        // the answer may be lost: so much garbage costs its sender
	s.question(b, tunnel.ListModules, func(r tunnel.Report) bool { // other lists may be garbage
		return r.Listed && !r.Partial && slices.ContainsFunc(r.Modules, func(m tunnel.Module) bool { return m.State == tunnel.Activated })
	})
	if _, ok := s.sink.beat(within(s.T, enough), since, func(tunnel.Heartbeat) bool { return true }); !ok {
		s.Error("no heartbeat is delivered any more")
	}
} // that garbage is nobody's heartbeat is judged

func wrongClock(s *fixture) {
	const wrong = -time.Hour
	b := s.one(Options{Clock: wrong})
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	r := s.question(b, tunnel.ListModules, func(r tunnel.Report) bool { return r.Listed })
	since := r.Modules[0].Since
	if off := since.Sub(s.before); off < wrong-enough || off > wrong+enough {
		s.Errorf("the module serves since %s by the base's clock, want about %s", since, s.before.Add(wrong))
	}
	if off := r.Stamp.Sub(r.Received); !r.Stamp.IsZero() && (off < wrong-enough || off > wrong+enough) {
		s.Errorf("stamped %s, received %s", r.Stamp, r.Received)
	}
}

func manyAtOnce(s *fixture) {
	b := s.one(Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 8 {
				err := s.Tunnel.Do(s.Context(), b.ID(), tunnel.Command{Verb: tunnel.ListModules})
				if err != nil && !errors.Is(err, tunnel.ErrBusy) {
					s.Errorf("Do: %v", err)
				}
			}
		})
	}
	wg.Wait()
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{})
}

func notLinked(s *fixture) {
	b := s.base(Options{})
	s.Tunnel.Follow(tunnel.Heartbeat{Base: b.ID(), Tunnel: s.Tunnel.Name(), IP: "127.0.0.1", Port: 1})
	if err := s.Tunnel.Do(s.Context(), b.ID(), s.install("orders", "1.0.0")); !errors.Is(err, tunnel.ErrNotLinked) {
		s.Errorf("Do before Run: %v, want ErrNotLinked", err)
	}
	s.run()
	s.end()
	if err := s.Tunnel.Do(s.Context(), b.ID(), s.install("orders", "1.0.0")); !errors.Is(err, tunnel.ErrNotLinked) {
		s.Errorf("Do after Run: %v, want ErrNotLinked", err)
	}
}

func linkIsMended(s *fixture) {
	b := s.one(Options{})
	if s.Cut == nil {
		return // NB: its link is its own listener, which is there while Run runs
	}
	since := s.sink.now()
	if err := s.Cut(); err != nil {
		s.Fatal(err)
	}
	if _, ok := s.sink.link(within(s.T, enough), since, func(l tunnel.Link) bool { return !l.Up && !l.Since.Before(s.before) }); !ok {
		s.Fatal("it is not reported that the link is lost")
	}
	if err := s.Tunnel.Do(s.Context(), b.ID(), s.install("orders", "1.0.0")); !errors.Is(err, tunnel.ErrNotLinked) {
		s.Errorf("Do without a link: %v, want ErrNotLinked", err)
	}
	if err := s.Mend(); err != nil {
		s.Fatal(err)
	}
	for _, r := range s.replicas {
		Await(s, "a report that the link is back", func() bool {
			r.gate.Prove()
			return r.sink.Recorded().Up()
		})
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{}) // nothing was sent, or sent later
}

func endCutsOff(s *fixture) {
	b := s.one(Options{})
	b.Suffer(Fault{Slow: time.Hour})
	for _, c := range []tunnel.Command{s.install("orders", "1.0.0"), {Verb: tunnel.ListModules}, {Verb: tunnel.ReadHealth}} {
		if err := s.Tunnel.Do(s.Context(), b.ID(), c); err != nil {
			s.Error(err)
		}
	}
	began := time.Now()
	s.end()
	if took := time.Since(began); took > 4*soon {
		s.Errorf("Run took %s to end", took)
	}
}
