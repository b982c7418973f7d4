package tunneltest

import (
	"errors"
	"time"

	"module-controller/tunnel"
)

func uninstall(name, version string) tunnel.Command {
	return tunnel.Command{Verb: tunnel.UninstallModule, Module: key(name, version)}
}

func shutGateRefuses(s *fixture) {
	b := s.one(Options{})
	s.gate.Shut(0)
	since := s.sink.now()
	for _, c := range []tunnel.Command{
		s.install("orders", "1.0.0"), uninstall("orders", "1.0.0"), {Verb: tunnel.ListModules}, {Verb: tunnel.ReadHealth},
	} {
		if err := s.Tunnel.Do(s.Context(), b.ID(), c); !errors.Is(err, tunnel.ErrShut) {
			s.Errorf("Do %s while the gate is shut: %v, want ErrShut", c.Verb, err)
		}
	}
	s.beats(b, since, 1) // listening goes on
	s.gate.Open()
	s.answers(b, s.install("stock", "1.0.0"), tunnel.Done)
	s.commanded(b, key("stock", "1.0.0"))
}

// nothingLeaves: the gate is open when Do asks and shut when the bytes leave.
func nothingLeaves(s *fixture) {
	b := s.one(Options{})
	for _, c := range []tunnel.Command{s.install("orders", "1.0.0"), uninstall("orders", "1.0.0")} {
		s.gate.Shut(1)
		if err := s.Tunnel.Do(s.Context(), b.ID(), c); err != nil && !errors.Is(err, tunnel.ErrShut) {
			s.Errorf("Do %s: %v, want none or ErrShut", c.Verb, err)
		}
		Await(s, "the second question, or the command", func() bool { return s.gate.Denied() > 0 || len(b.Seen().Commands) > 0 })
		s.gate.Open()
	}
	s.answers(b, s.install("stock", "1.0.0"), tunnel.Done)
	s.commanded(b, key("stock", "1.0.0")) // what was held back does not leave later either
}

// commanded checks which modules a base was sent commands for.
func (s *fixture) commanded(b Base, want tunnel.ModuleKey) {
	s.Helper()
	for _, c := range b.Seen().Commands {
		if c.Module != want {
			s.Errorf("%s %s left while the gate was shut", c.Verb, c.Module)
		}
	}
}

// beats waits for heartbeats of a base.
func (s *fixture) beats(b Base, since mark, n int) {
	s.Helper()
	for range n {
		if _, ok := s.sink.beat(within(s.T, enough), since, func(h tunnel.Heartbeat) bool { return h.Base == b.ID() }); !ok {
			s.Fatalf("no heartbeat of %s", b.ID().Identity)
		}
		since = s.sink.now()
	}
}

// shutGateStopsQuestions: a tunnel that asks how a command goes asks nothing while the
// gate is shut, and the answer comes once it is open again.
func shutGateStopsQuestions(s *fixture) {
	b := s.one(Options{})
	c := s.installs(Module{ModuleKey: key("orders", "1.0.0"), Start: 3 * soon})
	c.RequestID = "r-1"
	since := s.sink.now()
	if err := s.Tunnel.Do(s.Context(), b.ID(), c); err != nil {
		s.Fatal(err)
	}
	Await(s, "the command to arrive", func() bool { return len(b.Seen().Commands) == 1 })
	s.gate.Shut(0)
	quiet := false
	for range 2 { // what left before may arrive during the first
		asked := b.Seen().Questions
		s.beats(b, s.sink.now(), 3)
		quiet = b.Seen().Questions == asked
	}
	if !quiet {
		s.Error("the base was asked while the gate was shut")
	}
	s.gate.Open()
	answered := func(r tunnel.Report) bool { return r.Answer != nil && r.Answer.Outcome == tunnel.Done }
	if _, ok := s.sink.report(within(s.T, enough), since, answered); !ok {
		s.Error("no answer came once the gate was open again")
	}
}

// linkWaitsForProof: a link may have been cut by whoever has the permission now, so it
// comes back only once the permission was renewed.
func linkWaitsForProof(s *fixture) {
	s.run()
	if s.Cut == nil {
		return // NB: its link is its own listener, which no other process can take
	}
	since := s.sink.now()
	if err := s.Cut(); err != nil {
		s.Fatal(err)
	}
	if err := s.Mend(); err != nil {
		s.Fatal(err)
	}
	Await(s, "the tunnel to ask for proof", s.gate.Waiting)
	proved := s.gate.Prove()
	back, ok := s.sink.link(within(s.T, enough), since, func(l tunnel.Link) bool { return l.Up })
	if !ok {
		s.Fatal("the link did not come back")
	}
	if back.Since.Before(proved) {
		s.Errorf("the link came back %s before proof", proved.Sub(back.Since).Round(time.Millisecond))
	}
}
