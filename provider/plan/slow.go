package plan

import (
	"fmt"
	"slices"
	"time"

	"module-controller/tunnel"
)

// A command may take long. An install may in two ways. The base may fetch the jar for minutes: the module
// is in no list then, and the base refuses every other command for its name as busy. Or
// its main may run for ever: the module is listed as starting, and the base neither ends
// nor stops it. Neither is a failure, and none of them is installed twice. What is
// uninstalled, or switched to, may take its time too: requests are served to their end.
const (
	// slowAfter is when it is told that a command takes long.
	slowAfter = time.Minute
	// slowLimit is how long a base is believed that it works on an install.
	slowLimit = 30 * time.Minute
	// startLimit is how long a start may take before it is not waited for any more.
	startLimit = 5 * time.Minute
	// stopLimit is how long an uninstall or a switch may go unanswered until it has failed.
	stopLimit = 5 * time.Minute
)

// watchStarts notes since when listed modules start. Of one whose start has ended it is
// forgotten that it could not be stopped.
func (p *planner) watchStarts() {
	was := p.out.Memory.Starts
	p.out.Memory.Starts = map[tunnel.ModuleKey]time.Time{}
	for _, m := range p.in.Seen.Modules {
		if presenceOf(m.State) != starting {
			continue
		}
		since, known := was[m.ModuleKey]
		if !known {
			since = p.beganToStart(m)
		}
		p.out.Memory.Starts[m.ModuleKey] = since
		p.out.tooEarly(since.Add(startLimit))
	}
	for key := range was {
		if _, goesOn := p.out.Memory.Starts[key]; !goesOn {
			p.failures.drop(key, Purpose{Verb: tunnel.UninstallModule})
		}
	}
}

// beganToStart is since when a module starts that was not seen to start before: as the base
// tells, else as its install tells, where that is not at the jar for long.
//
// NB: a base over HTTP does not tell its clock. One that is behind ours makes a start look
// older than it is.
func (p *planner) beganToStart(m tunnel.Module) time.Time {
	a := p.in.Memory.Attempts[m.Name]
	told := m.Since.Add(p.in.Seen.Ahead)
	switch {
	case p.makesSense(m.Since, told):
		return told
	case a.installs(m.ModuleKey) && a.Since.IsZero():
		return a.Sent
	}
	return p.in.Now
}

// makesSense says of a time that a base told, which is that by our clock, that it may be one
// of its process.
func (p *planner) makesSense(told, ours time.Time) bool {
	switch {
	case told.IsZero(), ours.After(p.in.Now):
		return false
	}
	return !ours.Before(p.in.Seen.Started)
}

// past says that a time has come.
func (p *planner) past(at time.Time) bool { return !p.in.Now.Before(at) }

// hung says whether a module starts for so long that nobody waits for it any more.
func (p *planner) hung(key tunnel.ModuleKey) bool {
	if since, starts := p.out.Memory.Starts[key]; starts {
		return p.past(since.Add(startLimit))
	}
	return false
}

// whyHung tells it of one that is.
func (p *planner) whyHung(key tunnel.ModuleKey) string {
	return fmt.Sprintf("%s has been starting for %s; only a restart of the base ends it", key, roughly(p.in.Now.Sub(p.out.Memory.Starts[key])))
}

// roughly tells a duration in steps, so that a status that shows it changes seldom.
func roughly(d time.Duration) string {
	told := time.Minute
	for _, step := range []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour} {
		if d >= step {
			told = step
		}
	}
	if d >= 2*time.Hour {
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d min", told/time.Minute)
}

// refused says how a command ended that the base refused because it was busy: it is
// repeated after a pause that grows, for as long as a base may be busy.
func (r resolver) refused(a Attempt) ending {
	pause := r.in.Config.busyPause(a.Refused)
	if a.Verb == tunnel.InstallModule && !a.Since.IsZero() {
		pause = max(pause, slowAfter) // it is at the install that this one repeats
	}
	if slices.ContainsFunc(r.list.byName[a.Module.Name], r.hung) {
		pause = max(pause, uninstallPause)
	}
	switch {
	case r.out.tooEarly(a.Answered.Add(pause)):
		return underWay
	case !r.list.asOf(a.Answered):
		return unclear
	case r.past(a.begun().Add(slowLimit)):
		return failed
	}
	return lapsed
}

// busyPause is how long a base is left alone with a module that refused so many commands
// for it.
func (c Config) busyPause(refused int) time.Duration {
	return min(busyPause<<min(refused, 16), c.BackOffMax)
}

// stuck says how a command ended about a module whose start does not end.
func (r resolver) stuck(a Attempt) ending {
	switch {
	case a.Verb == tunnel.InstallModule:
		return lapsed
	case a.Answer == nil && r.out.tooEarly(r.deadline(a)):
		return underWay
	}
	return failed
}

// silent says how an install ended that the base neither answered nor shows. It is asked
// for once more before it counts as failed: a base that is still at it says that it is
// busy.
func (r resolver) silent(a Attempt) ending {
	switch {
	case r.past(a.begun().Add(slowLimit)):
		return failed
	case a.Since.IsZero(), a.Refused > 0:
		return lapsed
	}
	return failed
}

// unheeded says how an uninstall or a switch ended that the base neither answered in time
// nor shows. It may take long to stop a module, and over HTTP no answer comes then: a base
// that is at it says so when it is asked again, which is done after a pause that grows.
func (r resolver) unheeded(a Attempt) ending {
	limit := stopLimit
	if a.Fetches {
		limit = slowLimit
	}
	pause := min(max(r.timeout(a.Verb), a.Sent.Sub(a.begun())), uninstallPause)
	switch {
	case !r.list.of(a.Module).listed(), r.past(a.begun().Add(limit)):
		return failed
	case r.out.tooEarly(r.deadline(a).Add(pause)):
		return overdue
	}
	return lapsed
}

// slowness has how it is told that a command takes long.
var slowness = map[tunnel.Verb]struct{ reason, being string }{
	tunnel.InstallModule:   {"InstallSlow", "installed"},
	tunnel.UninstallModule: {"UninstallSlow", "uninstalled"},
	tunnel.SwitchModule:    {"SwitchSlow", "switched to"},
}

// tellSlow tells once of a command that takes long.
func (r resolver) tellSlow(a Attempt) Attempt {
	switch {
	case a.Told, a.asks(), !r.list.asOf(a.begun().Add(slowAfter)):
		return a
	}
	a.Told = true
	is := slowness[a.Verb]
	r.out.event(a.Pod, false, is.reason, fmt.Sprintf("%s is being %s since %s", a.Module, is.being, a.begun().UTC().Format(time.TimeOnly)))
	return a
}

// stopsFor is how long a module is being uninstalled already.
func (p *planner) stopsFor(key tunnel.ModuleKey) time.Duration {
	a := p.out.Memory.Attempts[key.Name]
	switch {
	case a.Verb != tunnel.UninstallModule, a.Module != key, a.asks():
		return 0
	}
	p.out.tooEarly(a.begun().Add(slowAfter))
	return p.in.Now.Sub(a.begun())
}

// drop forgets the commands that have lapsed and that nothing repeats, but for installs
// that may still be under way.
func (p *planner) drop() {
	for n, a := range p.out.Memory.Attempts {
		_, again := p.out.announced[n]
		switch {
		case again, p.demand.workOn(n) >= busy, a.Verb == tunnel.InstallModule, a.asks():
		default:
			delete(p.out.Memory.Attempts, n)
			p.out.Ended = append(p.out.Ended, Ended{a, Lost})
		}
	}
}
