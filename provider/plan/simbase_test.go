package plan

import (
	"slices"
	"time"

	"module-controller/tunnel"
)

// obey does a command as a base does.
func (s *sim) obey(c tunnel.Command) tunnel.Answer {
	a := tunnel.Answer{Verb: c.Verb, Module: c.Module, Outcome: tunnel.Done}
	if _, busy := s.working[c.Module.Name]; busy {
		a.Outcome, a.Message = tunnel.Busy, "conflict"
		return a
	}
	at := s.find(c.Module)
	switch c.Verb {
	case tunnel.UninstallModule:
		if at < 0 {
			a.Outcome = tunnel.NotFound
			break
		}
		if s.refuses(at, &a) {
			break
		}
		if s.slowStops > 0 {
			s.modules[at].State = tunnel.Deactivated
			s.working[c.Module.Name], a.Outcome = job{c, s.now.Add(s.slowStops)}, silence
			break
		}
		s.uninstall(at)
	case tunnel.SwitchModule:
		if at < 0 {
			a.Outcome = tunnel.NotFound
			break
		}
		if why := s.unservable[c.Module]; why != "" {
			a.Outcome, a.Message = tunnel.Failed, why
			break
		}
		if s.slowSwitches > 0 {
			s.working[c.Module.Name], a.Outcome = job{c, s.now.Add(s.slowSwitches)}, silence
			break
		}
		s.activate(at)
	case tunnel.InstallModule:
		if slices.ContainsFunc(s.modules, func(m tunnel.Module) bool { return m.Name == c.Module.Name && m.State == tunnel.Resolved }) {
			a.Outcome, a.Message = tunnel.Busy, "conflict"
			break
		}
		if pause := s.slow[c.URL]; pause > 0 {
			s.working[c.Module.Name], a.Outcome = job{c, s.now.Add(pause)}, silence
			break
		}
		s.install(c, &a)
	default: // the others change nothing
	}
	return a
}

func (s *sim) uninstall(at int) {
	s.uninstalls[s.modules[at].ModuleKey]++
	s.modules = slices.Delete(s.modules, at, at+1)
}

func (s *sim) activate(at int) {
	for i := range s.modules {
		if s.modules[i].Name == s.modules[at].Name {
			s.modules[i].State = tunnel.Deactivated
		}
	}
	s.modules[at].State, s.modules[at].Since = tunnel.Activated, s.now
}

func (s *sim) install(c tunnel.Command, a *tunnel.Answer) {
	jar, ok := s.jars[c.URL]
	if !ok {
		a.Outcome, a.Message = tunnel.Failed, "FileNotFoundException"
		return
	}
	if c.Replace && !s.plain {
		s.modules = slices.DeleteFunc(s.modules, func(m tunnel.Module) bool { return m.Name == c.Module.Name })
	}
	if s.find(jar.key) >= 0 {
		a.Outcome, a.Installed, a.Message = tunnel.Repeated, jar.key, "has been installed"
		return
	}
	if why := s.unservable[jar.key]; jar.fail == "" && !slices.ContainsFunc(s.modules, func(m tunnel.Module) bool { return m.Name == jar.key.Name && m.State == tunnel.Activated }) {
		jar.fail = why
	}
	if jar.fail != "" {
		a.Outcome, a.Message = tunnel.Failed, jar.fail
		if s.keepsFailed {
			s.modules = append(s.modules, tunnel.Module{ModuleKey: jar.key, State: tunnel.Broken, Since: s.now})
		}
		return
	}
	if s.hangs[c.URL] {
		s.modules, a.Outcome = append(s.modules, tunnel.Module{ModuleKey: jar.key, State: tunnel.Resolved, Since: s.now}), silence
		s.installs[jar.key]++
		return
	}
	state := tunnel.Activated
	for _, m := range s.modules {
		if m.Name == jar.key.Name && m.State == tunnel.Activated {
			state = tunnel.Deactivated
		}
	}
	s.modules = append(s.modules, tunnel.Module{ModuleKey: jar.key, State: state, Since: s.now})
	s.installs[jar.key]++
	a.Installed = jar.key
}

// refuses says whether the base keeps a module that it is to uninstall.
func (s *sim) refuses(at int, a *tunnel.Answer) bool {
	switch {
	case s.modules[at].State == tunnel.Resolved:
		a.Outcome, a.Message = tunnel.Failed, "it is resolved"
	case s.keepsAll == "":
		return false
	case s.keepsAll != "-":
		a.Outcome, a.Message = tunnel.Failed, s.keepsAll
	}
	return true
}

// restart loses everything that the base had and did.
func (s *sim) restart() {
	s.modules, s.working = nil, map[string]job{}
	s.in.Seen.Modules, s.in.Seen.Listed, s.in.Seen.Started = nil, time.Time{}, s.now
	for n, a := range s.in.Memory.Attempts {
		a.Restarted = true
		s.in.Memory.Attempts[n] = a
	}
}

// work ends what the base was at and whose time has come, without an answer.
func (s *sim) work() {
	for name, j := range s.working {
		if s.now.Before(j.until) {
			continue
		}
		delete(s.working, name)
		switch at := s.find(j.Module); {
		case j.Verb == tunnel.InstallModule:
			s.install(j.Command, &tunnel.Answer{})
		case at < 0:
		case j.Verb == tunnel.SwitchModule:
			s.activate(at)
		default:
			s.uninstall(at)
		}
	}
}
