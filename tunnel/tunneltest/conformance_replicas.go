package tunneltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"module-controller/tunnel"
)

// heard is how many heartbeats of a base each replica heard.
func (s *fixture) heard(b Base) (counts [Replicas]int) {
	for n, r := range s.replicas {
		counts[n] = count(r.sink.Recorded().Beats, func(h tunnel.Heartbeat) bool { return h.Base == b.ID() })
	}
	return counts
}

// followerHearsAll: where a heartbeat reaches one replica, the follower hears its own and those
// of the others; else as many as any other. A heartbeat or two may be on their way.
func followerHearsAll(s *fixture) {
	b := s.one(Options{})
	before := s.heard(b)
	const some = 4
	Await(s, "the heartbeats that reach other replicas", func() bool {
		now := s.heard(b)
		own, sum, most, least := now[0]-before[0], 0, 0, some
		for n := 1; n < Replicas; n++ {
			heard := now[n] - before[n]
			sum, most, least = sum+heard, max(most, heard), min(least, heard)
		}
		if s.PassesOn {
			return least >= some && own >= sum
		}
		return least >= some && own >= most
	})
}

// eachHasItsOwn: each replica follows a base of its own, and all are commanded at a time.
func eachHasItsOwn(s *fixture) {
	var bases []Base
	for n := range Replicas {
		bases = append(bases, s.base(Options{Identity: fmt.Sprint("base-of-", n)}))
	}
	s.start(bases...)
	for n, b := range bases {
		s.at(n).follow(b)
	}
	c := s.install("orders", "1.0.0")
	for n, b := range bases {
		s.at(n).send(b, c)
	}
	for n, b := range bases {
		if a := s.at(n).answer(b, c, mark{}); a.Outcome != tunnel.Done {
			s.Errorf("replica %d is answered %s %q", n, a.Outcome, a.Message)
		}
		other := (n + 1) % Replicas
		if err := s.at(other).Tunnel.Do(s.Context(), b.ID(), uninstall("orders", "1.0.0")); !errors.Is(err, tunnel.ErrNotFollowed) {
			s.Errorf("Do of replica %d to a base of another: %v, want ErrNotFollowed", other, err)
		}
	}
	for n, b := range bases {
		s.at(n).lists(b, map[tunnel.ModuleKey]tunnel.State{c.Module: tunnel.Activated})
		if got := b.Seen().Commands; len(got) != 1 {
			s.Errorf("the base of replica %d got %v, want one command", n, got)
		}
	}
}

// comesToList waits until a base lists what it should: an answer to who followed it before may
// come first.
func (s *fixture) comesToList(b Base, want map[tunnel.ModuleKey]tunnel.State) {
	s.Helper()
	s.question(b, tunnel.ListModules, func(r tunnel.Report) bool {
		states := map[tunnel.ModuleKey]tunnel.State{}
		for _, m := range r.Modules {
			states[m.ModuleKey] = m.State
		}
		return r.Listed && maps.Equal(states, want)
	})
}

// followedInTurn: each follower's commands are answered, to itself, and take effect once. What
// one asked as it let go is told nobody else but the next.
func followedInTurn(s *fixture) {
	b := s.base(Options{})
	s.start(b)
	want := map[tunnel.ModuleKey]tunnel.State{}
	for turn := range 2 * Replicas {
		at := s.at(turn % Replicas)
		at.follow(b)
		c := at.install(fmt.Sprint("orders-", turn), "1.0.0")
		at.answers(b, c, tunnel.Done)
		want[c.Module] = tunnel.Activated
		at.comesToList(b, want)
		for range 4 {
			at.send(b, tunnel.Command{Verb: tunnel.ListModules})
		}
		at.Tunnel.Unfollow(b.ID())
	}
	for m := range want {
		if n := b.Seen().Installs[m]; n != 1 {
			s.Errorf("%s was installed %d times", m, n)
		}
	}
}

// starting sends an install of a module that starts slowly, and waits until it starts.
func (s *fixture) starting(b Base, name string) tunnel.Command {
	s.Helper()
	c := s.installs(Module{ModuleKey: key(name, "1.0.0"), Start: 2 * soon})
	s.send(b, c)
	s.question(b, tunnel.ListModules, func(r tunnel.Report) bool {
		for _, m := range r.Modules {
			if m.ModuleKey == c.Module && m.State == tunnel.Resolved {
				return true
			}
		}
		return false
	})
	return c
}

// leftUnderWay: who follows a base next sees by its list what becomes of a command of the one
// before, and need not send it again.
func leftUnderWay(s *fixture) {
	b := s.one(Options{})
	c := s.starting(b, "orders")
	s.Tunnel.Unfollow(b.ID())
	next := s.at(1)
	next.follow(b)
	next.comesToList(b, map[tunnel.ModuleKey]tunnel.State{c.Module: tunnel.Activated})
	if n := b.Seen().Installs[c.Module]; n != 1 {
		s.Errorf("it was installed %d times", n)
	}
	next.answers(b, uninstall("orders", "1.0.0"), tunnel.Done)
}

// endedIsReplaced: a replica ends in the middle of a command. The others serve on.
func endedIsReplaced(s *fixture) {
	b, other := s.base(Options{}), s.base(Options{Identity: "other"})
	s.start(b, other)
	s.follow(b)
	s.at(2).follow(other)
	c := s.starting(b, "orders")
	s.end()
	next := s.at(1)
	next.follow(b)
	next.comesToList(b, map[tunnel.ModuleKey]tunnel.State{c.Module: tunnel.Activated})
	next.answers(b, uninstall("orders", "1.0.0"), tunnel.Done)
	s.at(2).answers(other, s.install("stock", "1.0.0"), tunnel.Done)
	for n := 1; n < Replicas; n++ {
		if r := s.replicas[n].sink.Recorded(); !r.Up() || r.Ups() != 1 {
			s.Errorf("the link of replica %d came up %d times, and is up: %v", n, r.Ups(), r.Up())
		}
	}
}

// strangerIsNotHeard: who cannot prove that it is a base is not heard, whether that base is
// there or not. It gets no command and no question.
func strangerIsNotHeard(s *fixture) {
	const own = "own"
	b := s.base(Options{Name: own})
	strangers := []Base{s.base(Options{Name: "forged", Stranger: true}), s.base(Options{Name: "forged", Identity: "nobody", Stranger: true})}
	s.start(append(strangers, b)...)
	s.follow(b)
	for n := range Replicas {
		s.at(n).beats(b, mark{}, 5)
	}
	s.answers(b, s.install("orders", "1.0.0"), tunnel.Done)
	for n, r := range s.replicas {
		for _, h := range r.sink.Recorded().Beats {
			if h.Name != own {
				s.Errorf("replica %d heard the stranger: %+v", n, h)
				break
			}
		}
	}
	for _, stranger := range strangers {
		if seen := stranger.Seen(); len(seen.Commands) > 0 || seen.Questions > 0 {
			s.Errorf("a stranger got %v and %d questions", seen.Commands, seen.Questions)
		}
	}
}

// impostorIsNotHeard: a base that proves that it is itself is not heard as another one, whether
// that one is there or not: neither its heartbeats nor its lists. It gets none of the other's
// commands and questions, and the other is served as before.
func impostorIsNotHeard(s *fixture) {
	const own, forged, none = "own", "forged", "nobody"
	s.run()
	var thieves []string
	for n := range 3 {
		thieves = append(thieves, fmt.Sprint("thief-", n))
	}
	s.provesItself(thieves...)
	b := s.base(Options{Name: own})
	impostors := []Base{
		s.base(Options{Name: forged, With: thieves[0]}),
		s.base(Options{Name: forged, With: thieves[1], Otherwise: true}),
		s.base(Options{Name: forged, With: thieves[2], Identity: none}),
	}
	s.play(append(impostors, b)...)
	s.follow(b)
	first, second := s.install("orders", "1.0.0"), s.install("stock", "1.0.0")
	s.answers(b, first, tunnel.Done)
	for _, impostor := range impostors {
		said := impostor.Seen().Announced
		for _, list := range forgedLists {
			impostor.Babble([]byte(list))
		}
		Await(s, "an impostor's words to arrive", func() bool { return impostor.Seen().Announced >= said+2*Replicas })
	}
	for n := range Replicas {
		s.at(n).beats(b, s.at(n).sink.now(), 2) // behind all that
	}
	s.answers(b, second, tunnel.Done)
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{first.Module: tunnel.Activated, second.Module: tunnel.Activated})
	s.judgeImpostors(impostors, func(h tunnel.Heartbeat) bool { return h.Base == b.ID() && h.Name != own || h.Base.Identity == none })
}

// judgeImpostors checks that no replica heard impostors, and that they got nothing. forged tells
// their heartbeats.
func (s *fixture) judgeImpostors(impostors []Base, forged func(tunnel.Heartbeat) bool) {
	s.Helper()
	for n, r := range s.replicas {
		all := r.sink.Recorded()
		if i := slices.IndexFunc(all.Beats, forged); i >= 0 {
			s.Errorf("replica %d heard an impostor: %+v", n, all.Beats[i])
		}
		if i := slices.IndexFunc(all.Reports, func(r tunnel.Report) bool { return slices.ContainsFunc(r.Modules, isForged) }); i >= 0 {
			s.Errorf("replica %d was told an impostor's list: %+v", n, all.Reports[i])
		}
	}
	for _, impostor := range impostors {
		if seen := impostor.Seen(); len(seen.Commands) > 0 || seen.Questions > 0 || seen.Baselines > 0 {
			s.Errorf("an impostor got %v, %d questions and %d baselines", seen.Commands, seen.Questions, seen.Baselines)
		}
	}
}

// forgedLists are lists of modules, as the bases of some stacks write them. For others they mean
// nothing.
var forgedLists = []string{
	`{"publishTimestamp":1,"data":[{"bizName":"forged","bizVersion":"1","bizState":"ACTIVATED"}]}`,
	`{"clock":1,"number":1,"running":[{"name":"forged","version":"1","state":"serving"}]}`,
}

func isForged(m tunnel.Module) bool { return m.Name == "forged" }

// provesItself has bases be heard for a while by all replicas: what proves that they are
// themselves is good.
func (s *fixture) provesItself(identities ...string) {
	s.Helper()
	var bases []Base
	for _, id := range identities {
		bases = append(bases, s.base(Options{Identity: id}))
	}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Stack.Play(ctx, bases) }()
	for n := range Replicas {
		for _, b := range bases {
			s.at(n).beats(b, mark{}, 1)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		s.Fatal(err)
	}
}
