package tunneltest

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"module-controller/tunnel"
)

// Kit is a tunnel to be tested, in each of several replicas, and what it needs.
type Kit struct {
	// Tunnels are new, one for each replica of a Team. They serve the environment "default",
	// and each asks the gate of its replica.
	Tunnels [Replicas]tunnel.Tunnel
	// Stack plays bases that speak to all of them, as where they run.
	Stack Stack
	// Switches: the tunnel can have a listed version serve.
	Switches bool
	// Baselines: bases ask at their start what to install, and are answered by a command.
	Baselines bool
	// PassesOn: a heartbeat reaches one replica, which passes it on to the one that follows the
	// base. Otherwise each heartbeat reaches all replicas.
	PassesOn bool
	// Longest is the size in bytes of a message for which a base loses its connection; 0 for
	// none.
	Longest int
	// Cut takes away what the tunnels' own links need, and Mend gives it back; nil where
	// a tunnel has no link that can be lost.
	Cut, Mend func() error
}

// RunConformance tests what every tunnel must do, through the interfaces of package
// tunnel alone. All replicas run in each case. Most cases are about the first of them; at the
// end of each, judge looks at what all were told and at what the bases got. kit makes the
// tunnels of a team for one test; what it starts ends with the test.
func RunConformance(t *testing.T, kit func(t *testing.T, team *Team) Kit) {
	for _, test := range []struct {
		name string
		run  func(*fixture)
	}{
		{"a heartbeat is delivered as it was sent", heartbeatIsDelivered},
		{"health is read", healthIsRead},
		{"a list is read", listIsRead},
		{"an install is answered, done once, and listed", installIsDone},
		{"an install of what is there is answered so", installRepeats},
		{"the jar decides, not the command", jarDecides},
		{"a failure is explained", failureIsExplained},
		{"a replacement leaves one version", replacementReplaces},
		{"an uninstall is answered, and again", uninstallIsDone},
		{"a version is switched, or that is refused", switchOrRefusal},
		{"commands that conflict are answered so", commandsConflict},
		{"a repeated request is answered so", repeatsWithRequest},
		{"requests that conflict are answered so", requestsConflict},
		{"a request id is used once", requestIDIsUsedOnce},
		{"arguments and variables arrive", settingsArrive},
		{"a base that asks what to install is answered, or that is refused", baselineOrRefusal},
		{"a restarted base is seen", restartIsSeen},
		{"a base without a heartbeat answers", deadHeartbeatAnswers},
		{"a slow base delays no other", slowDelaysNoOther},
		{"the heartbeats of a mute base are delivered", muteIsDelivered},
		{"a base that is gone answers nothing", goneIsSilent},
		{"an unfollowed base is not reported", unfollowedIsSilent},
		{"nothing is reported once a base was unfollowed", lateReportIsDropped},
		{"garbage hurts nobody", garbageHurtsNobody},
		{"a wrong clock changes no receive time", wrongClock},
		{"commands come from many goroutines", manyAtOnce},
		{"nothing is sent without a link", notLinked},
		{"a lost link is reported and mended", linkIsMended},
		{"a shut gate refuses commands", shutGateRefuses},
		{"nothing leaves once the gate has shut", nothingLeaves},
		{"a command under way is left alone while the gate is shut", shutGateStopsQuestions},
		{"a lost link waits for proof", linkWaitsForProof},
		{"the end cuts what is under way", endCutsOff},
		{"a follower hears its base, whichever replica that speaks to", followerHearsAll},
		{"each replica is answered by its own base alone", eachHasItsOwn},
		{"a base is followed by one replica after another", followedInTurn},
		{"a command under way is left to the next replica", leftUnderWay},
		{"the base of a replica that ended is followed by another", endedIsReplaced},
		{"a stranger is heard by no replica", strangerIsNotHeard},
		{"a base that says to be another is heard by no replica", impostorIsNotHeard},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newFixture(t, kit)) })
	}
}

// RunArklet tests what a tunnel to the Java runtime must do beside: what is true of its
// versions and its words alone.
func RunArklet(t *testing.T, kit func(t *testing.T, team *Team) Kit) {
	for _, test := range []struct {
		name string
		run  func(*fixture)
	}{
		{"metaspace is read", metaspaceIsRead},
		{"the list of each runtime is read", eachListIsRead},
		{"a failure names its root cause first", causesAreExplained},
		{"an error answer may hide a success", errorHidesSuccess},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newFixture(t, kit)) })
	}
}

// fixture is what a case sees: the bases, and one of the replicas, whose tunnel and sink it
// has.
type fixture struct {
	*testing.T
	*stage
	*replica
}

// stage is what the fixtures of a case have in common.
type stage struct {
	Kit
	again    func(*testing.T) *fixture // makes another one
	team     *Team
	replicas [Replicas]*replica
	bases    []Base // all but strangers and impostors
	before   time.Time
}

func newFixture(t *testing.T, kit func(t *testing.T, team *Team) Kit) *fixture {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if !t.Failed() {
			goleak.VerifyNone(t, leaks)
		}
	})
	s := &fixture{T: t, stage: &stage{team: newTeam(), before: time.Now()}}
	t.Cleanup(s.judge) // when all have ended
	s.again = func(t *testing.T) *fixture { t.Helper(); return newFixture(t, kit) }
	s.Kit = kit(t, s.team)
	for n, tun := range s.Tunnels {
		s.replicas[n] = newReplica(n, tun, s.team)
	}
	return s.at(0)
}

// at is the fixture with another replica.
func (s *fixture) at(n int) *fixture { return &fixture{s.T, s.stage, s.replicas[n]} }

// start runs the tunnels and has bases send to them, until the test ends.
func (s *fixture) start(bases ...Base) {
	s.Helper()
	s.run()
	s.play(bases...)
}

// play has bases send to the tunnels until the test ends.
func (s *fixture) play(bases ...Base) {
	s.Helper()
	During(s, func(ctx context.Context) error { return s.Stack.Play(ctx, bases) })
}

// run runs all tunnels until the test ends.
func (s *fixture) run() {
	s.Helper()
	s.Cleanup(s.endAll)
	for _, r := range s.replicas {
		r.start()
	}
	for n := range s.replicas {
		s.at(n).linked()
	}
}

// linked waits until the link is up.
func (s *fixture) linked() {
	s.Helper()
	up := func(l tunnel.Link) bool { return l.Up && l.Tunnel == s.Tunnel.Name() && !l.Since.IsZero() }
	if _, ok := s.sink.link(within(s.T, enough), mark{}, up); !ok {
		s.Fatalf("the link of replica %d did not come up", s.number)
	}
}

// endAll ends all tunnels, at once.
func (s *fixture) endAll() {
	s.Helper()
	for _, r := range s.replicas {
		if r.stop != nil {
			r.stop()
		}
	}
	for n := range s.replicas {
		s.at(n).end()
	}
}

// end ends Run, which must return soon and without an error.
func (s *fixture) end() {
	s.Helper()
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop = nil
	select {
	case err := <-s.ended:
		if err != nil {
			s.Errorf("Run of replica %d returned %v", s.number, err)
		}
	case <-time.After(enough):
		s.Fatalf("Run of replica %d did not return", s.number)
	}
	s.Tunnel.unfollowAll() // nothing is reported any more
}

// base makes a base that beats often.
func (s *fixture) base(o Options) Base {
	s.Helper()
	b, err := s.Stack.New(o)
	if err != nil {
		s.Fatal(err)
	}
	if !o.Stranger && o.With == "" {
		s.bases = append(s.bases, b)
	}
	return b
}

// put makes a module be found, and gives its URL.
func (s *fixture) put(m Module) (url string) {
	s.Helper()
	url, err := s.Stack.Put(m)
	if err != nil {
		s.Fatal(err)
	}
	return url
}

// one starts a base and follows it.
func (s *fixture) one(o Options) Base {
	s.Helper()
	b := s.base(o)
	s.start(b)
	s.follow(b)
	return b
}

// follow waits for a base's heartbeat, follows it, and waits until its answers are delivered.
func (s *fixture) follow(b Base) tunnel.Heartbeat {
	s.Helper()
	h, ok := s.sink.beat(within(s.T, enough), mark{}, func(h tunnel.Heartbeat) bool { return h.Base == b.ID() })
	if !ok {
		s.Fatalf("no heartbeat of %s", b.ID().Identity)
	}
	s.Tunnel.Follow(h)
	s.list(b)
	return h
}

// question asks until a report answers. One may be lost while a base comes up, and
// nothing is sent to a base whose answers cannot be received yet or that is busy.
func (s *fixture) question(b Base, verb tunnel.Verb, fits func(tunnel.Report) bool) tunnel.Report {
	s.Helper()
	deadline := time.Now().Add(enough)
	for time.Now().Before(deadline) {
		since := s.sink.now()
		wait := soon
		switch err := s.Tunnel.Do(s.Context(), b.ID(), tunnel.Command{Verb: verb}); {
		case errors.Is(err, tunnel.ErrNotFollowed), errors.Is(err, tunnel.ErrBusy):
			wait = time.Millisecond
		case err != nil:
			s.Fatalf("Do %s: %v", verb, err)
		}
		if r, ok := s.sink.report(within(s.T, wait), since, func(r tunnel.Report) bool { return r.Base == b.ID() && fits(r) }); ok {
			s.checkReport(r)
			return r
		}
	}
	s.Fatalf("%s answered no %s", b.ID().Identity, verb)
	return tunnel.Report{}
}

// checkReport checks what is true of every report.
func (s *fixture) checkReport(r tunnel.Report) {
	s.Helper()
	if r.Tunnel != s.Tunnel.Name() || r.Received.Before(s.before) || r.Received.After(time.Now()) {
		s.Errorf("report of tunnel %q, received %s", r.Tunnel, r.Received)
	}
	if !r.Asked.IsZero() && (r.Asked.Before(s.before) || r.Asked.After(r.Received)) {
		s.Errorf("report asked for at %s and received at %s", r.Asked, r.Received)
	}
}

// list asks for a base's modules.
func (s *fixture) list(b Base) map[tunnel.ModuleKey]tunnel.State {
	s.Helper()
	r := s.question(b, tunnel.ListModules, func(r tunnel.Report) bool { return r.Listed })
	if r.Partial {
		s.Errorf("the list of %s has entries that could not be read", b.ID().Identity)
	}
	states := map[tunnel.ModuleKey]tunnel.State{}
	for _, m := range r.Modules {
		states[m.ModuleKey] = m.State
	}
	return states
}

func (s *fixture) health(b Base) tunnel.Health {
	s.Helper()
	return *s.question(b, tunnel.ReadHealth, func(r tunnel.Report) bool { return r.Health != nil }).Health
}

// do sends one command, which must be answered once.
func (s *fixture) do(b Base, c tunnel.Command) tunnel.Answer {
	s.Helper()
	since := s.sink.now()
	s.send(b, c)
	return s.answer(b, c, since)
}

// send sends one command.
func (s *fixture) send(b Base, c tunnel.Command) {
	s.Helper()
	if err := s.Tunnel.Do(s.Context(), b.ID(), c); err != nil {
		s.Fatalf("Do %s %s: %v", c.Verb, c.Module, err)
	}
}

// answer waits for the answer to a command.
func (s *fixture) answer(b Base, c tunnel.Command, since mark) tunnel.Answer {
	s.Helper()
	r, ok := s.sink.report(within(s.T, enough), since, func(r tunnel.Report) bool {
		return r.Base == b.ID() && r.Answer != nil && r.Answer.Verb == c.Verb && r.Answer.Module == c.Module
	})
	if !ok {
		s.Fatalf("no answer to %s %s", c.Verb, c.Module)
	}
	s.checkReport(r)
	if id := r.Answer.RequestID; id != "" && id != c.RequestID {
		s.Errorf("answer to request %q, want %q", id, c.RequestID)
	}
	return *r.Answer
}

func key(name, version string) tunnel.ModuleKey {
	return tunnel.ModuleKey{Name: name, Version: version}
}

// install is the command that installs a module which is what it is called.
func (s *fixture) install(name, version string) tunnel.Command {
	s.Helper()
	return s.installs(Module{ModuleKey: key(name, version)})
}

// installs is the command that installs a module.
func (s *fixture) installs(m Module) tunnel.Command {
	s.Helper()
	return tunnel.Command{Verb: tunnel.InstallModule, Module: m.ModuleKey, URL: s.put(m)}
}
