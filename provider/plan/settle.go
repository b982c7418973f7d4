package plan

import (
	"fmt"
	"slices"
	"time"

	"module-controller/tunnel"
)

// busyPause is how long a base that was busy with a module is left alone.
const busyPause = 2 * time.Second

// settleAll looks what became of the commands that were sent.
func (p *planner) settleAll() {
	for _, n := range p.sortedNames() {
		a, ok := p.Memory.Attempts[n.name]
		if !ok {
			continue
		}
		if p.settle(a) {
			delete(p.out.Memory.Attempts, n.name)
		} else {
			n.busy = true
		}
	}
}

// settle says whether a command has ended. What an answer explains is believed
// only beside a list that was asked for after it.
func (p *planner) settle(a Attempt) bool {
	switch {
	case a.Restarted:
		return true
	case p.Seen.Listed.After(a.Sent) && p.shown(a):
		p.succeed(a)
		return true
	case a.Answer == nil:
		return p.settleUnanswered(a)
	case a.Answer.Outcome == tunnel.Busy:
		until := a.Answered.Add(busyPause)
		if p.Now.Before(until) {
			p.next(until)
			return false
		}
		if !p.Seen.Listed.After(a.Answered) {
			p.out.Ask = true
			return false
		}
		return true
	case !p.Seen.Listed.After(a.Answered):
		p.out.Ask = true
		return false
	}
	return p.settleAnswered(a)
}

// shown says whether the list shows a command's effect beyond doubt. A replacement
// of the very version that is listed leaves no trace in the list: only its answer
// tells.
func (p *planner) shown(a Attempt) bool {
	m, there := p.listed[a.Module]
	switch a.Verb {
	case tunnel.InstallModule:
		return there && started(m) && !a.Replace
	case tunnel.UninstallModule:
		return !there && !p.Seen.Partial
	case tunnel.SwitchModule:
		return there && m.State == tunnel.Activated
	default: // the others change nothing
		return true
	}
}

func starting(m tunnel.Module) bool {
	return m.State == tunnel.Resolved || m.State == tunnel.Unresolved
}

// started says whether a module's main has run to its end: it serves, or it could.
func started(m tunnel.Module) bool {
	return m.State == tunnel.Activated || m.State == tunnel.Deactivated
}

// quickVerbs says how much sooner than to an install an answer to an uninstall or a
// switch is expected, and one to a command that may be lost with a broken link.
const quickVerbs = 4

func (p *planner) settleUnanswered(a Attempt) bool {
	timeout := p.Config.CommandTimeout
	if a.Verb != tunnel.InstallModule {
		timeout /= quickVerbs // quick to do, and harmless to ask for again
	}
	deadline := a.Sent.Add(timeout)
	if p.LinkSince.After(a.Sent) {
		deadline = earlier(deadline, p.LinkSince.Add(p.Config.CommandTimeout/quickVerbs))
	}
	if p.Now.Before(deadline) {
		p.next(deadline)
		return false
	}
	m, there := p.listed[a.Module]
	if !p.Seen.Listed.After(deadline) || p.Seen.Partial && !there || there && starting(m) {
		p.out.Ask = true // the base works on it still, or we do not know
		return false
	}
	if a.Verb == tunnel.InstallModule && there && m.State == tunnel.Activated {
		p.succeed(a)
	} else {
		p.fail(a, fmt.Sprintf("the base gave no answer within %s", timeout))
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (p *planner) settleAnswered(a Attempt) bool {
	m, there := p.listed[a.Module]
	if there && starting(m) || !there && p.Seen.Partial {
		p.out.Ask = true
		return false
	}
	switch {
	case a.Verb == tunnel.InstallModule && there && started(m) && (a.Answer.Outcome == tunnel.Done || m.State == tunnel.Activated && !a.Replace):
		p.succeed(a)
	case a.Verb == tunnel.InstallModule && there && a.Answer.Outcome == tunnel.Repeated && a.Replace:
		p.failPlain(a)
	case a.Verb == tunnel.InstallModule && p.mismatched(a):
		p.mismatch(a)
	case a.Answer.Outcome == tunnel.Done:
		p.fail(a, fmt.Sprintf("the base answered success, but its list does not show it: %s", a.Module))
	default:
		p.fail(a, a.Answer.Message)
	}
	return true
}

// mismatched says whether a jar proved to be another module than was asked for.
func (p *planner) mismatched(a Attempt) bool {
	if a.Answer.Outcome != tunnel.Done && a.Answer.Outcome != tunnel.Repeated {
		return false
	}
	is := p.broughtBy(a)
	return is != (tunnel.ModuleKey{}) && is != a.Module
}

// purpose keeps failures of different kinds of commands for one module apart: it
// takes the place of the URL for those that have none.
func purpose(a Attempt) string {
	if a.Verb == tunnel.InstallModule {
		return a.URL
	}
	return string(a.Verb)
}

func (p *planner) succeed(a Attempt) {
	if a.Verb != tunnel.InstallModule {
		if f, ok := p.out.Memory.Failures[a.Module]; ok && f.URL == purpose(a) {
			delete(p.out.Memory.Failures, a.Module)
		}
		if a.Verb == tunnel.UninstallModule {
			p.event(a.Pod, false, "Uninstalled", a.Module.String()+" was uninstalled")
		}
		return
	}
	p.out.Memory.Installed[a.Module] = true
	p.brought[a.Module] = a.URL
	if f, ok := p.out.Memory.Failures[a.Module]; ok && !f.Plain {
		delete(p.out.Memory.Failures, a.Module)
	}
}

func (p *planner) fail(a Attempt, message string) {
	f := p.again(a)
	f.Message = clip(message)
	if f.Message == "" {
		f.Message = "the base gave no reason"
	}
	f.NotBefore = p.Now.Add(p.backOff(f.Count))
	p.out.Memory.Failures[a.Module] = f
	reason := map[tunnel.Verb]string{
		tunnel.InstallModule: "InstallFailed", tunnel.UninstallModule: "UninstallFailed", tunnel.SwitchModule: "SwitchFailed",
	}[a.Verb]
	p.event(a.Pod, true, reason, a.Module.String()+": "+f.Message)
}

// again is the failure of an attempt, counted on from the ones before it.
func (p *planner) again(a Attempt) Failure {
	f, known := p.out.Memory.Failures[a.Module]
	if !known || f.URL != purpose(a) {
		f = Failure{URL: purpose(a)}
	}
	f.Count++
	f.At = p.Now
	return f
}

// failPlain notes a base that takes no install strategy: it says that the module is
// there already instead of replacing it.
func (p *planner) failPlain(a Attempt) {
	f := p.again(a)
	f.Count, f.Plain, f.Message = 0, true, "the base does not replace modules: they are uninstalled first"
	p.out.Memory.Failures[a.Module] = f
}

// mismatch notes a jar of another name or version. What it brought is uninstalled
// at once, unless somebody wants it.
func (p *planner) mismatch(a Attempt) {
	f := p.again(a)
	f.Wrong, f.Mismatch = true, p.broughtBy(a)
	f.NotBefore = p.Now.Add(p.Config.BackOffMax)
	f.Message = clip(fmt.Sprintf("asked for %s, but the jar at %s is %s: correct %s or the image", a.Module, redact(a.URL), f.Mismatch, EnvVersion))
	p.out.Memory.Failures[a.Module] = f
	p.event(a.Pod, true, ReasonVersionMismatch, f.Message)
	if a.Answer.Outcome == tunnel.Done {
		p.out.Memory.Installed[f.Mismatch] = true
		p.Memory.Unmanaged = with(p.Memory.Unmanaged, f.Mismatch, p.Now.Add(-p.Config.UnmanagedGrace))
	}
}

// broughtBy is what a jar turned out to be: as the base said, else what is new in
// the list and wanted by nobody. It is zero where neither tells.
func (p *planner) broughtBy(a Attempt) tunnel.ModuleKey {
	if a.Answer.Installed != (tunnel.ModuleKey{}) {
		return a.Answer.Installed
	}
	var found []tunnel.ModuleKey
	for _, m := range p.Seen.Modules {
		if !p.keep[m.ModuleKey] && !p.terminating[m.ModuleKey] && !p.Memory.Installed[m.ModuleKey] && !slices.Contains(a.Before, m.ModuleKey) {
			found = append(found, m.ModuleKey)
		}
	}
	if len(found) != 1 {
		found = slices.DeleteFunc(found, func(k tunnel.ModuleKey) bool { return k.Name != a.Module.Name })
	}
	if len(found) != 1 {
		return tunnel.ModuleKey{}
	}
	return found[0]
}

// backOff is the pause after so many failures in a row.
func (p *planner) backOff(count int) time.Duration {
	const enough = 16 // doublings that are beyond any maximum
	return min(p.Config.BackOffBase<<min(count-1, enough), p.Config.BackOffMax)
}
