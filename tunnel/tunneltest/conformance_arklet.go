package tunneltest

import (
	"strings"
	"testing"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
)

// jvm makes a base of the Java runtime.
func (s *fixture) jvm(o basetest.Options) Base {
	s.Helper()
	b, err := s.Stack.jvm(o)
	if err != nil {
		s.Fatal(err)
	}
	s.bases = append(s.bases, b)
	return b
}

// oneJVM starts one and follows it.
func (s *fixture) oneJVM(o basetest.Options) Base {
	s.Helper()
	b := s.jvm(o)
	s.start(b)
	s.follow(b)
	return b
}

func metaspaceIsRead(s *fixture) {
	usual, old := s.jvm(basetest.Options{Identity: "usual"}), s.jvm(basetest.Options{Identity: "old", Runtime: "1.2.2"})
	unlimited := s.jvm(basetest.Options{Identity: "unlimited", MaxMetaspace: -1})
	s.start(usual, old, unlimited)
	for b, limit := range map[Base]int64{usual: 256 << 20, old: -1, unlimited: -1} {
		s.follow(b)
		h := s.health(b)
		if h.MaxMemory != limit || h.CPUs != 2 || h.Uptime <= 0 || (h.UsedMemory > 0) == (b == old) || h.UsedMemory < -1 {
			s.Errorf("health of %s: %+v", b.ID(), h)
		}
	}
}

func eachListIsRead(s *fixture) {
	for _, runtime := range basetest.Runtimes() {
		s.Run(runtime, func(t *testing.T) {
			s := s.again(t)
			s.listsTwo(s.oneJVM(basetest.Options{Runtime: runtime}))
		})
	}
}

func causesAreExplained(s *fixture) {
	b := s.oneJVM(basetest.Options{})
	first, second, missing := s.install("stock", "1.0.0"), s.install("stock", "2.0.0"), s.installs(Module{ModuleKey: key("none", "1.0.0"), Missing: true})
	for _, c := range []tunnel.Command{first, second} {
		s.Stack.jars.Add(basetest.Jar{URL: c.URL, Name: c.Module.Name, Version: c.Module.Version, Port: 8080})
	}
	s.answers(b, first, tunnel.Done)
	for _, id := range []string{"", "r-"} {
		s.fails(b, second, id, "Address already in use", "Port 8080 is already in use")
		s.fails(b, missing, id, "No such file or directory", "")
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{first.Module: tunnel.Activated})
}

func errorHidesSuccess(s *fixture) {
	b := s.oneJVM(basetest.Options{Runtime: "2.1.6"})
	c := s.install("hello", "1.0.0")
	s.Stack.jars.Add(basetest.Jar{URL: c.URL, Name: "hello", Version: "1.0.0", Plain: true})
	s.answers(b, c, tunnel.Done)
	a := s.answers(b, tunnel.Command{Verb: tunnel.UninstallModule, Module: c.Module}, tunnel.Failed)
	if !strings.Contains(a.Message, "NullPointerException") {
		s.Errorf("message %q", a.Message)
	}
	s.lists(b, map[tunnel.ModuleKey]tunnel.State{})
}
