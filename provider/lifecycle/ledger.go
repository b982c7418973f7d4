package lifecycle

import (
	"fmt"
	"maps"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// ledger is what this replica did on the base under its claim. Its maps are never nil.
type ledger struct {
	plan.Memory
	// requests counts the commands of this claim, for request ids that are used once.
	requests int
}

func newLedger(installed map[tunnel.ModuleKey]bool) ledger {
	return ledger{Memory: whole(plan.Memory{Installed: installed})}
}

// whole gives a memory whose maps can be written.
func whole(m plan.Memory) plan.Memory {
	if m.Attempts == nil {
		m.Attempts = map[string]plan.Attempt{}
	}
	if m.Failures == nil {
		m.Failures = map[tunnel.ModuleKey]plan.Failure{}
	}
	if m.Installed == nil {
		m.Installed = map[tunnel.ModuleKey]bool{}
	}
	if m.Unmanaged == nil {
		m.Unmanaged = map[tunnel.ModuleKey]time.Time{}
	}
	return m
}

// absorb takes in the answer to the command that was sent last for a module name.
func (l *ledger) absorb(name string, r tunnel.Report) {
	if a, sent := l.Attempts[name]; sent && answers(r, a) {
		a.Answer, a.Answered = r.Answer, r.Received
		l.Attempts[name] = a
	}
}

// answers says whether a report answers an attempt, and not one before it. A tunnel that
// cannot tell request ids leaves them empty.
func answers(r tunnel.Report, a plan.Attempt) bool {
	switch {
	case a.Answer != nil: // the first answer counts
		return false
	case a.Verb != r.Answer.Verb, a.Module != r.Answer.Module, r.Received.Before(a.Sent):
		return false
	case r.Answer.RequestID == "":
		return true
	}
	return r.Answer.RequestID == a.RequestID
}

// recall takes back failures that were remembered elsewhere while no pod waited for them.
func (l *ledger) recall(failures map[tunnel.ModuleKey]plan.Failure) {
	for key, f := range failures {
		if _, known := l.Failures[key]; !known {
			l.Failures[key] = f
		}
	}
}

// remember keeps what the planner wants kept, and gives the failures that no pod waits
// for: they go to the bounded memory.
func (l *ledger) remember(out plan.Output) (unrequested map[tunnel.ModuleKey]plan.Failure) {
	l.Memory = whole(out.Memory)
	wanted := map[tunnel.ModuleKey]bool{}
	for _, s := range out.Statuses {
		for _, key := range plan.ModulesOf(s.Pod.Pod) {
			wanted[key] = true
		}
	}
	unrequested = maps.Clone(l.Failures)
	maps.DeleteFunc(unrequested, func(key tunnel.ModuleKey, _ plan.Failure) bool { return wanted[key] })
	l.Failures = maps.Clone(l.Failures)
	maps.DeleteFunc(l.Failures, func(key tunnel.ModuleKey, _ plan.Failure) bool { return !wanted[key] })
	return unrequested
}

// issue numbers the commands that are sent now, and counts what they install as
// installed. Until the Lease is written the pods tell of it that asked for it.
func (l *ledger) issue(commands []plan.Planned, epoch int32) []plan.Planned {
	l.Installed = maps.Clone(l.Installed)
	issued := make([]plan.Planned, 0, len(commands))
	for _, c := range commands {
		if c.Verb == tunnel.InstallModule {
			l.Installed[c.Module] = true
		}
		l.requests++
		c.RequestID = fmt.Sprintf("%d-%s-%d", epoch, ownerOf(c), l.requests)
		issued = append(issued, c)
	}
	return issued
}

func ownerOf(c plan.Planned) string {
	if c.Pod == "" {
		return "controller"
	}
	return string(c.Pod)
}
