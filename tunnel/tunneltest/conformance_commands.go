package tunneltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

func heartbeatIsDelivered(s *fixture) {
	b := s.base(Options{Identity: "10.1.2.3", Name: "shop", Version: "2.0", Cluster: "east"})
	s.start(b)
	got := s.follow(b)
	if got.Tunnel != s.Tunnel.Name() || got.Received.Before(s.before) || got.Received.After(time.Now()) {
		s.Errorf("heartbeat of tunnel %q, received %s", got.Tunnel, got.Received)
	}
	if port := b.Seen().Port; got.Port != port {
		s.Errorf("port %d, want %d", got.Port, port)
	}
	want := tunnel.About{Name: "shop", Version: "2.0", Cluster: "east", IP: b.Seen().IP, Hostname: b.Seen().IP}
	if diff := gocmp.Diff(want, got.About()); diff != "" {
		s.Errorf("heartbeat (-want +got):\n%s", diff)
	}
}

func healthIsRead(s *fixture) {
	b := s.one(Options{})
	h := s.health(b)
	if h.MaxMemory < -1 || h.UsedMemory < -1 || h.CPUs < 0 || h.Uptime <= 0 {
		s.Errorf("health: %+v", h)
	}
}

func listIsRead(s *fixture) {
	b := s.one(Options{})
	if got := s.list(b); len(got) != 0 {
		s.Errorf("an empty base lists %v", got)
	}
	s.listsTwo(b)
}

// listsTwo installs two versions past the tunnel, and checks that both are listed.
func (s *fixture) listsTwo(b Base) {
	s.Helper()
	for _, version := range []string{"1.0.0", "2.0.0"} {
		c := s.install("orders", version)
		b.Install(s.Context(), c.Module, c.URL)
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{key("orders", "1.0.0"): tunnel.Activated, key("orders", "2.0.0"): tunnel.Deactivated})
}

// lists checks what a base lists.
func (s *fixture) lists(b Base, want map[tunnel.ModuleKey]tunnel.State) {
	s.Helper()
	if diff := gocmp.Diff(want, s.list(b)); diff != "" {
		s.Errorf("list (-want +got):\n%s", diff)
	}
}

func (s *fixture) answers(b Base, c tunnel.Command, want tunnel.Outcome) tunnel.Answer {
	s.Helper()
	a := s.do(b, c)
	if a.Outcome != want {
		s.Errorf("%s %s is answered %s %q, want %s", c.Verb, c.Module, a.Outcome, a.Message, want)
	}
	if (a.Message == "") != (a.Outcome == tunnel.Done) {
		s.Errorf("%s %s is answered %s with message %q", c.Verb, c.Module, a.Outcome, a.Message)
	}
	return a
}

func installIsDone(s *fixture) {
	b := s.one(Options{})
	for _, id := range []string{"", "r-1"} {
		c := s.install("orders"+id, "1.0.0")
		c.RequestID = id
		a := s.answers(b, c, tunnel.Done)
		if none := (tunnel.ModuleKey{}); a.Installed != none && a.Installed != c.Module {
			s.Errorf("the answer names %s as installed", a.Installed)
		}
		if got := s.list(b)[c.Module]; got != tunnel.Activated {
			s.Errorf("%s is %q", c.Module, got)
		}
		if n := b.Seen().Installs[c.Module]; n != 1 {
			s.Errorf("%s was installed %d times", c.Module, n)
		}
	}
}

func installRepeats(s *fixture) {
	b := s.one(Options{})
	c := s.install("orders", "1.0.0")
	s.answers(b, c, tunnel.Done)
	if a := s.answers(b, c, tunnel.Repeated); a.Installed != c.Module {
		s.Errorf("the answer names %s as installed before", a.Installed)
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{c.Module: tunnel.Activated})
}

func jarDecides(s *fixture) {
	b := s.one(Options{})
	c := s.install("orders", "1.0.0")
	c.Module = key("bills", "9.9.9")
	if a := s.answers(b, c, tunnel.Done); a.Installed != key("orders", "1.0.0") {
		s.Errorf("the answer names %s as installed", a.Installed)
	}
	if a := s.answers(b, c, tunnel.Repeated); a.Installed != key("orders", "1.0.0") {
		s.Errorf("the answer names %s as installed before", a.Installed)
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{key("orders", "1.0.0"): tunnel.Activated})
}

func failureIsExplained(s *fixture) {
	b := s.one(Options{})
	first := s.install("stock", "1.0.0")
	s.answers(b, first, tunnel.Done)
	broken, missing := s.installs(Module{ModuleKey: key("orders", "3.0.0"), FailWith: "no stock today"}), s.installs(Module{ModuleKey: key("none", "1.0.0"), Missing: true})
	for _, id := range []string{"", "r-"} {
		s.fails(b, broken, id, "no stock today", "")
		s.fails(b, missing, id, "", "")
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{first.Module: tunnel.Activated})
}

// fails checks that an install fails, and what is said of it: the innermost cause first, and
// another one that its owner must see.
func (s *fixture) fails(b Base, c tunnel.Command, id, root, also string) {
	s.Helper()
	if id != "" {
		c.RequestID = id + c.Module.String()
	}
	a := s.answers(b, c, tunnel.Failed)
	if at := strings.Index(a.Message, root); at < 0 || at > 100 || !strings.Contains(a.Message, also) {
		s.Errorf("install of %s, request %q: want %q near the begin of %q, and %q", c.Module, c.RequestID, root, a.Message, also)
	}
	if strings.ContainsAny(a.Message, "\n\t") || len(a.Message) > tunnel.MaxText {
		s.Errorf("install of %s: message %q is no line of at most %d bytes", c.Module, a.Message, tunnel.MaxText)
	}
}

func replacementReplaces(s *fixture) {
	b := s.one(Options{})
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	s.answers(b, s.install("stock", "1.0.0"), tunnel.Done)
	c := s.install("orders", "2.0.0")
	c.Replace = true
	s.answers(b, c, tunnel.Done)
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{c.Module: tunnel.Activated, key("stock", "1.0.0"): tunnel.Activated})
}

func uninstallIsDone(s *fixture) {
	b := s.one(Options{})
	c := tunnel.Command{Verb: tunnel.UninstallModule, Module: key("orders", "1.0.0")}
	s.answers(b, c, tunnel.NotFound)
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	s.answers(b, c, tunnel.Done)
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{})
	s.answers(b, c, tunnel.NotFound)
	if n := b.Seen().Uninstalls[key("orders", "1.0.0")]; n != 1 {
		s.Errorf("it was uninstalled %d times", n)
	}
}

func switchOrRefusal(s *fixture) {
	b := s.one(Options{})
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	s.answers(b, s.install("orders", "2.0.0"), tunnel.Done)
	c := tunnel.Command{Verb: tunnel.SwitchModule, Module: key("orders", "2.0.0")}
	if !s.Switches {
		if err := s.Tunnel.Do(s.Context(), b.ID(), c); !errors.Is(err, tunnel.ErrUnsupported) {
			s.Errorf("Do switch: %v, want ErrUnsupported", err)
		}
		return
	}
	s.answers(b, c, tunnel.Done)
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{key("orders", "1.0.0"): tunnel.Deactivated, key("orders", "2.0.0"): tunnel.Activated})
	c.Module.Version = "7"
	s.answers(b, c, tunnel.NotFound)
	can := func(r tunnel.Report) bool { return r.Features != nil && r.Features.Switch }
	if _, ok := s.sink.report(within(s.T, enough), mark{}, can); !ok {
		s.Error("it was not reported that the base can switch")
	}
}

// baselineOrRefusal: a base that asks at its start what to install is answered by the replica
// that follows it, once, and does what it is told, which is nothing. Where bases do not ask so,
// nothing is sent.
func baselineOrRefusal(s *fixture) {
	bases := []Base{s.base(Options{Identity: "first"}), s.base(Options{Identity: "second"})}
	s.start(bases...)
	want := tunnel.ErrUnsupported
	if s.Baselines {
		want = nil
	}
	answer := tunnel.Command{Verb: tunnel.AnswerBaseline}
	for n, b := range bases {
		at := s.at(n)
		if h := at.follow(b); s.Baselines && !h.Restarted {
			s.Errorf("it is not seen that %s asks", b.ID().Identity)
		}
		for other := range Replicas {
			if other != n {
				s.at(other).refuses(b, answer, tunnel.ErrNotFollowed)
			}
		}
		at.gate.Shut(0)
		at.refuses(b, answer, tunnel.ErrShut)
		at.gate.Open()
		at.refuses(b, answer, want)
	}
	for n, b := range bases {
		at := s.at(n)
		if s.Baselines {
			at.toldOfBaseline(b)
		}
		at.lists(b, map[tunnel.ModuleKey]tunnel.State{}) // behind it
		at.Tunnel.Unfollow(b.ID())
		at.refuses(b, answer, tunnel.ErrNotFollowed)
	}
	s.judgeBaselines(bases)
}

// toldOfBaseline waits until a replica is told that a base did what a baseline said.
func (s *fixture) toldOfBaseline(b Base) {
	s.Helper()
	did := func(r tunnel.Report) bool { return r.Base == b.ID() && r.Baseline }
	if _, ok := s.sink.report(within(s.T, enough), mark{}, did); !ok {
		s.Errorf("replica %d was not told that %s did it", s.number, b.ID().Identity)
	}
}

// judgeBaselines checks that each base got one baseline, and the replica that follows it was told
// so once; and that none was anywhere where bases do not ask.
func (s *fixture) judgeBaselines(bases []Base) {
	s.Helper()
	want := 0
	if s.Baselines {
		want = 1
	}
	for n, r := range s.replicas {
		told := count(r.sink.Recorded().Reports, func(r tunnel.Report) bool {
			return r.Baseline || r.Answer != nil && r.Answer.Verb == tunnel.AnswerBaseline
		})
		if follows := n < len(bases); follows && told != want || !follows && told > 0 {
			s.Errorf("replica %d was told of %d answered baselines", n, told)
		}
	}
	for _, b := range bases {
		if seen := b.Seen(); seen.Baselines != want || len(seen.Commands) > 0 {
			s.Errorf("%s got %d baselines and %v", b.ID().Identity, seen.Baselines, seen.Commands)
		}
	}
}

// refuses checks what Do says of a command: nil where it takes it.
func (s *fixture) refuses(b Base, c tunnel.Command, want error) {
	s.Helper()
	if err := s.Tunnel.Do(s.Context(), b.ID(), c); !errors.Is(err, want) {
		s.Errorf("Do %s of replica %d to %s: %v, want %v", c.Verb, s.number, b.ID().Identity, err, want)
	}
}

func commandsConflict(s *fixture) {
	b := s.one(Options{})
	slow := s.installs(Module{ModuleKey: key("orders", "1.0.0"), Start: enough})
	if err := s.Tunnel.Do(s.Context(), b.ID(), slow); err != nil {
		s.Fatal(err)
	}
	s.question(b, tunnel.ListModules, func(r tunnel.Report) bool { return slices.ContainsFunc(r.Modules, isResolved) })
	s.answers(b, tunnel.Command{Verb: tunnel.UninstallModule, Module: slow.Module}, tunnel.Busy)
}

func isResolved(m tunnel.Module) bool { return m.State == tunnel.Resolved }

// repeatsWithRequest: an install with a request id that finds its module is answered as
// one without.
func repeatsWithRequest(s *fixture) {
	b := s.one(Options{})
	for i := range 3 {
		c := s.install("orders", "1.0.0")
		c.RequestID = fmt.Sprintf("r-%d", i)
		want := tunnel.Repeated
		if i == 0 {
			want = tunnel.Done
		}
		s.answers(b, c, want)
	}
}

// requestsConflict: an asynchronous command that conflicts with another is answered so.
func requestsConflict(s *fixture) {
	b := s.one(Options{})
	slow := s.installs(Module{ModuleKey: key("orders", "1.0.0"), Start: enough})
	slow.RequestID = "r-1"
	if err := s.Tunnel.Do(s.Context(), b.ID(), slow); err != nil {
		s.Fatal(err)
	}
	s.question(b, tunnel.ListModules, func(r tunnel.Report) bool { return slices.ContainsFunc(r.Modules, isResolved) })
	slow.RequestID = "r-2"
	s.answers(b, slow, tunnel.Busy)
}

// requestIDIsUsedOnce: where a tunnel passes request ids on, the base refuses one that
// it has seen; elsewhere the module is there already.
func requestIDIsUsedOnce(s *fixture) {
	b := s.one(Options{})
	c := s.install("orders", "1.0.0")
	c.RequestID = "epoch-1/pod/1"
	s.answers(b, c, tunnel.Done)
	if a := s.do(b, c); a.Outcome != tunnel.Busy && a.Outcome != tunnel.Repeated {
		s.Errorf("it is answered %s %q", a.Outcome, a.Message)
	}
	if n := b.Seen().Installs[key("orders", "1.0.0")]; n != 1 {
		s.Errorf("it was installed %d times", n)
	}
}

func settingsArrive(s *fixture) {
	b := s.one(Options{})
	c := s.install("orders", "1.0.0")
	c.Args, c.Env = []string{"--a=b", "c"}, map[string]string{"REGION": "east"}
	s.answers(b, c, tunnel.Done)
	got := b.Seen().Commands[0]
	if !slices.Equal(got.Args, c.Args) || got.Env["REGION"] != "east" {
		s.Errorf("the base got %q and %v", got.Args, got.Env)
	}
}
