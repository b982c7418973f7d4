package plan

import (
	"fmt"
	"slices"
	"time"

	"module-controller/tunnel"
)

// Pauses and deadlines of commands.
const (
	// busyPause is how long a base that was busy with a module is left alone.
	busyPause = 2 * time.Second
	// quickVerbs says how much sooner than to an install an answer to an uninstall or
	// a switch is expected, and one to a command that may be lost with a broken link.
	quickVerbs = 4
)

// resolver looks what became of the commands that were sent. Each either has an
// ending, which is remembered, or stays an attempt: one that may be answered yet keeps its
// name busy, one that has lapsed does not.
type resolver struct{ *planner }

func (r resolver) resolveAll() {
	for _, n := range r.demand.sorted() {
		a, sent := r.in.Memory.Attempts[n.name]
		if !sent {
			continue
		}
		switch is := r.endingOf(a); is {
		case unclear, underWay, overdue:
			if is == unclear {
				r.out.Ask = true
			}
			a.Late = a.Late || is == overdue
			n.raise(busy)
			r.out.Memory.Attempts[n.name] = r.tellSlow(a)
		case lapsed:
			a.Late = true
			a.Hung = r.hung(a.Module)
			r.out.Memory.Attempts[n.name] = r.tellSlow(a)
		default:
			delete(r.out.Memory.Attempts, n.name)
			r.out.Ended = append(r.out.Ended, Ended{a, resultOf(a, is)})
			if a.Why != "" {
				delete(r.out.Memory.Dead, a.Module)
			}
			r.resolve(a, is)
		}
	}
	r.hurry()
}

// hurryPause is when a module is tried again that failed, once another one serves.
const hurryPause = 3 * time.Second

// hurry cuts a back-off short, once, where another module began to serve since: it may be
// the one that was missing. How often it failed still counts.
func (r resolver) hurry() {
	soon := r.in.Now.Add(hurryPause)
	for key, f := range r.failures {
		r.failures[key] = f.sooner(r.began, key, soon)
	}
	for jar, f := range r.out.Memory.Jars {
		r.out.Memory.Jars[jar] = f.sooner(r.began, jar.ModuleKey, soon)
	}
}

// resolve remembers how a command ended.
func (r resolver) resolve(a Attempt, is ending) {
	switch is {
	case succeeded:
		r.succeed(a)
	case unreplaced: // it takes no install strategy: it says that the module is there already
		r.out.Memory.Plain = true
	case astray:
		r.failAstray(a)
	case failed:
		r.fail(a, r.complaint(a))
	case forgotten, unclear, underWay, overdue, lapsed: // nothing is known of it
	}
}

// endingOf says how a command ended. What an answer explains is believed only beside a
// list that was asked for after it; what the list proves needs no answer.
func (r resolver) endingOf(a Attempt) ending {
	switch {
	case a.Restarted:
		return forgotten
	case r.shown(a):
		return succeeded
	case r.hung(a.Module):
		return r.stuck(a)
	case a.Answer == nil:
		return r.unanswered(a)
	case a.busy():
		return r.refused(a)
	case !r.list.asOf(a.Answered):
		return unclear
	}
	return endings(a.Command, a.Answer.Outcome)[r.list.of(a.Module)]
}

// shown says whether the list shows a command's effect beyond doubt.
func (r resolver) shown(a Attempt) bool {
	switch {
	case !r.list.asOf(a.Sent):
		return false
	case a.Replace:
		return a.mayWork() && r.anew(a)
	case !r.list.proves(a.Command):
		return false
	case a.asks():
		return a.Answer != nil && !a.busy()
	}
	return true
}

// anew says of a replacing install that its module began to serve after it was sent. Of one
// that serves as it did, and of which the base does not tell since when, nobody knows.
func (r resolver) anew(a Attempt) bool {
	is, was := r.list.byKey[a.Module], a.Was
	switch {
	case r.list.of(a.Module) != serving:
		return false
	case presenceOf(was.State) != serving:
		return true
	case was.Since.IsZero(), is.Since.IsZero():
		return false
	}
	return !is.Since.Equal(was.Since)
}

// undated says of a replacing install that its module serves, and of a base that it does not
// tell since when.
func (r resolver) undated(a Attempt) bool {
	return a.Replace && r.list.of(a.Module) == serving && r.list.byKey[a.Module].Since.IsZero()
}

// unanswered says how a command ended that the base said nothing of: it is in flight
// until its deadline, and then a later list tells.
func (r resolver) unanswered(a Attempt) ending {
	deadline := r.deadline(a)
	switch {
	case r.out.tooEarly(deadline):
		return underWay
	case !r.list.asOf(deadline):
		return unclear
	}
	on := r.list.of(a.Module)
	is := endings(a.Command, silence)[on]
	switch {
	case r.undated(a): // NB: it is believed. Such a base is one over HTTP, which answers
		return succeeded
	case is != failed:
		return is
	case a.Verb != tunnel.InstallModule:
		return r.unheeded(a)
	case on == broken:
		return failed
	}
	return r.silent(a)
}

// deadline is until when an answer to a command may come. One that was sent before our
// link came up may be lost: it is not waited for as long as an install may take.
func (r resolver) deadline(a Attempt) time.Time {
	deadline := a.Sent.Add(r.timeout(a.Verb))
	if r.in.LinkSince.After(a.Sent) {
		return earlier(deadline, r.in.LinkSince.Add(r.in.Config.CommandTimeout/quickVerbs))
	}
	return deadline
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// timeout is how long after it was sent a command may be answered. All but installs
// are quick to do, and harmless to ask for again.
func (r resolver) timeout(v tunnel.Verb) time.Duration {
	if v == tunnel.InstallModule {
		return r.in.Config.CommandTimeout
	}
	return r.in.Config.CommandTimeout / quickVerbs
}

// complaint is what a command that failed is said to have failed of.
func (r resolver) complaint(a Attempt) string {
	switch {
	case a.Answer == nil && !a.Since.IsZero() && a.Verb != tunnel.InstallModule:
		return fmt.Sprintf("the base has given no answer for %s", roughly(r.in.Now.Sub(a.begun())))
	case a.Answer == nil:
		return fmt.Sprintf("the base gave no answer within %s", r.timeout(a.Verb))
	case a.busy():
		return fmt.Sprintf("the base has been busy with it for %s", roughly(r.in.Now.Sub(a.begun())))
	case a.Answer.Outcome != tunnel.Done:
		return r.quote(a.Answer.Message)
	case a.Verb == tunnel.UninstallModule:
		return fmt.Sprintf("the base answered success, but still lists %s", a.Module)
	}
	return fmt.Sprintf("the base answered success, but its list does not show it: %s", a.Module)
}

func (r resolver) succeed(a Attempt) {
	r.turnTo(a.Module, purposeOf(a.Command))
	r.failures.succeeded(a.Command)
	if a.Why != "" {
		r.killed(a)
	}
	switch a.Verb {
	case tunnel.InstallModule:
		r.begin(a.Module)
		r.out.Memory.Installed[a.Module] = true
		r.installed[a.Module] = a
	case tunnel.UninstallModule:
		if a.Pod == "" { // else its pod's end tells
			r.out.event("", false, "Uninstalled", a.Module.String()+" was uninstalled")
		}
	case tunnel.SwitchModule:
		r.begin(a.Module)
	case tunnel.ListModules, tunnel.ReadHealth, tunnel.AnswerBaseline: // the list tells
	}
}

// begin notes that a module began to serve that is to. One that is only given back does
// not count: two that give each other no room would take turns.
func (r resolver) begin(key tunnel.ModuleKey) {
	if r.demand.name(key.Name).has(key) && r.list.of(key) == serving {
		r.began[key.Name] = true
	}
}

// again is the failure of an attempt, counted on from those before it.
func (r resolver) again(a Attempt) Failure {
	r.turnTo(a.Module, purposeOf(a.Command))
	return r.failures.again(a, r.in.Now)
}

func (r resolver) fail(a Attempt, message string) {
	f := r.again(a)
	f.Message = clip(message)
	if f.Message == "" {
		f.Message = "the base gave no reason"
	}
	f.NotBefore = r.in.Now.Add(r.pause(f))
	r.failures[a.Module] = f
	reason := map[tunnel.Verb]string{
		tunnel.InstallModule: "InstallFailed", tunnel.UninstallModule: "UninstallFailed", tunnel.SwitchModule: "SwitchFailed",
	}[a.Verb]
	r.out.event(a.Pod, true, reason, a.Module.String()+": "+f.Message)
}

// uninstallPause is the longest pause between uninstalls that fail: somebody waits for the
// name, and it costs the base nothing.
const uninstallPause = time.Minute

// pause is how long what failed is not tried again.
func (r resolver) pause(f Failure) time.Duration {
	pause := r.in.Config.backOff(f.Count)
	if f.Verb == tunnel.UninstallModule {
		return min(pause, uninstallPause)
	}
	return pause
}

// failAstray notes a jar of another name or version. What it brought is uninstalled
// at once, unless somebody wants it.
func (r resolver) failAstray(a Attempt) {
	is := r.turnedOut(a)
	if is == a.Module || is == (tunnel.ModuleKey{}) {
		r.fail(a, r.complaint(a))
		return
	}
	f := r.again(a)
	f.Mismatch = is
	f.NotBefore = r.in.Now.Add(wrongPause)
	f.Message = clip(fmt.Sprintf("asked for %s, but the jar at %s is %s: %s, or correct the image", a.Module, redact(a.URL), r.quote(is.String()), r.correct(a.Module, is)))
	r.failures[a.Module] = f
	r.out.event(a.Pod, true, ReasonVersionMismatch, f.Message)
	if a.Answer.Outcome == tunnel.Done {
		r.out.Memory.Installed[is] = true
		r.out.Memory.Unmanaged[is] = r.in.Now.Add(-r.in.Config.UnmanagedGrace)
	}
}

// wrongPause is how long a jar is not tried again that proved to be another module: what a
// URL gives changes seldom, and each try costs the base memory.
const wrongPause = time.Hour

// correct says which variables name the module that a jar proved to be.
func (r resolver) correct(asked, is tunnel.ModuleKey) string {
	name, version := EnvName+" to "+r.quote(is.Name), EnvVersion+" to "+r.quote(is.Version)
	switch {
	case asked.Name == is.Name:
		return "set " + version
	case asked.Version == is.Version:
		return "set " + name
	}
	return "set " + name + " and " + version
}

// turnedOut is what a jar turned out to be: as the base said, else what is new in
// the list and requested by nobody. It is zero where neither tells.
func (r resolver) turnedOut(a Attempt) tunnel.ModuleKey {
	if a.Answer.Installed != (tunnel.ModuleKey{}) {
		return a.Answer.Installed
	}
	before := make(map[tunnel.ModuleKey]bool, len(a.Before))
	for _, key := range a.Before {
		before[key] = true
	}
	var found []tunnel.ModuleKey
	for _, m := range r.in.Seen.Modules {
		if r.unexplained(m.ModuleKey, before) {
			found = append(found, m.ModuleKey)
		}
	}
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(k tunnel.ModuleKey) bool { return k.Name != a.Module.Name })
	}
	if len(found) != 1 {
		return tunnel.ModuleKey{}
	}
	return found[0]
}

// unexplained says of a listed module that nothing but a wrong jar accounts for it.
func (r resolver) unexplained(key tunnel.ModuleKey, before map[tunnel.ModuleKey]bool) bool {
	ours := r.in.Memory.Installed[key]
	return r.demand.of(key) == unrequested && !ours && !before[key]
}
