package lifecycle

import (
	"fmt"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// AgeInput is what tells how alive a base is. All times are of this process's clock,
// with monotonic readings.
type AgeInput struct {
	Now time.Time
	// LastSeen is when the base's last message came that proves it alive, Heard when the last
	// one of any kind did; zero for none yet.
	LastSeen, Heard time.Time
	// Workload is what is known of the place in which the base runs.
	Workload plan.Workload
	// ServedSince is since when this process serves the base without a break.
	ServedSince time.Time
	// Unanswered is when the first request was sent that it has not answered; zero when
	// it owes no answer.
	Unanswered time.Time
	// Link is our own connection to the base's tunnel.
	Link tunnel.Link
	// Was is the reason that the Node shows, empty if it is Ready.
	Was string
	// Conflict explains that two live bases share the identity; empty for one base.
	Conflict string
	// Config has the limits: StaleAfter, UnresponsiveAfter, GoneAfter, LinkGrace.
	Config Config
}

// Stage is how long a base has been silent. Stages are ordered.
type Stage int

// The stages.
const (
	Fresh   Stage = iota // heard within StaleAfter
	Stale                // silent for longer: the Node is NotReady
	Expired              // silent for GoneAfter, or for StaleAfter and its Pod is gone: the Node is deleted
)

// Age is how alive a base is.
type Age struct {
	Stage Stage
	// NotReady is the reason of the Ready condition when it is False, else empty.
	NotReady string
	Message  string
	// Abandoned: it expired because its Pod is gone.
	Abandoned bool
	// Next is when this changes whatever is heard but an answer, Silent when it turns stale if
	// nothing is: each message moves that. Zero means not by itself.
	Next, Silent time.Time
}

// AgeOf judges a base: first by the Pod in which it runs, then by its silence, then by
// whether it answers. The order of the cases is the rule: two live bases with one identity
// are one fault whatever else holds, of a Pod the API server tells, whatever we hear, and
// while our own link is down nobody ages, because we could not hear anybody.
func AgeOf(in AgeInput) Age {
	switch {
	case in.Conflict != "":
		return Age{NotReady: plan.ReasonIdentityConflict, Message: in.Conflict}
	case in.Workload >= plan.WorkloadEnds:
		return in.deserted()
	case !in.Link.Up:
		return Age{NotReady: in.Was, Message: messageOf(in.Was)}
	}
	age := in.silence()
	if age.Stage > Fresh {
		return age
	}
	return in.answers(age)
}

// deserted judges a base whose Pod is being deleted, or is gone. Its modules are to have no
// more requests, as the containers of that Pod have none. That it is gone is believed of one
// that nothing was heard of since, in whatever way: a Pod also leaves our sight when its
// labels change.
func (in AgeInput) deserted() Age {
	in.Was = "" // it tells nothing of silence any more
	age := Age{}
	if in.Link.Up {
		age = in.silence()
		age.Next, age.Silent = earliest(age.Next, age.Silent), time.Time{} // not every message counts
	}
	age.NotReady, age.Message = plan.ReasonBasePodDeleted, messageOf(plan.ReasonBasePodDeleted)
	if in.Workload < plan.WorkloadEnded || !in.Link.Up || age.Stage == Expired {
		return age
	}
	heard := in
	heard.LastSeen = in.Heard
	from, _ := heard.silentFrom()
	end := from.Add(in.Config.StaleAfter)
	if in.Now.Before(end) {
		age.Next = earliest(age.Next, end)
		return age
	}
	return Age{Stage: Expired, NotReady: age.NotReady, Message: age.Message, Abandoned: true}
}

// silence judges by the last message.
func (in AgeInput) silence() Age {
	from, stillSilent := in.silentFrom()
	stale, gone := from.Add(in.Config.StaleAfter), from.Add(in.Config.GoneAfter)
	switch {
	case !in.Now.Before(gone):
		return Age{Stage: Expired, NotReady: plan.ReasonBaseSilent, Message: fmt.Sprintf("No message received from the base for %s", in.Config.GoneAfter)}
	case !in.Now.Before(stale), stillSilent:
		return Age{Stage: Stale, NotReady: plan.ReasonBaseSilent, Message: messageOf(plan.ReasonBaseSilent), Next: gone}
	}
	if from.Equal(in.LastSeen) {
		return Age{Message: messageOf(""), Silent: stale}
	}
	return Age{Message: messageOf(""), Next: stale}
}

// silentFrom is when the silence that counts began, and whether a base that was silent
// before our link broke, or before we served it, has not been heard since.
func (in AgeInput) silentFrom() (from time.Time, stillSilent bool) {
	switch in.Was {
	case plan.ReasonBaseSilent, plan.ReasonBasePodDeleted:
		return in.silentBefore()
	}
	from = in.heardOrGrace(in.LastSeen)
	if in.ServedSince.After(from) {
		// Whoever served it before heard it, or it would not be Ready: answers to polls
		// reach the owner alone.
		return in.ServedSince, false
	}
	return from, false
}

// silentBefore is silentFrom of a base that shows as silent. Whoever served it before us
// did not hear it either, but it may have been served by nobody since, or by one that could
// not ask.
func (in AgeInput) silentBefore() (from time.Time, stillSilent bool) {
	seen := later(in.LastSeen, in.ServedSince.Add(-in.Config.StaleAfter))
	return in.heardOrGrace(seen), !seen.After(in.Link.Since)
}

// heardOrGrace is when the base was heard over this link; one that was not yet has
// LinkGrace to come back itself.
func (in AgeInput) heardOrGrace(seen time.Time) time.Time {
	if seen.After(in.Link.Since) {
		return seen
	}
	return in.Link.Since.Add(in.Config.LinkGrace)
}

// answers judges a base that is heard by whether it answers what it is asked.
func (in AgeInput) answers(fresh Age) Age {
	if in.Unanswered.IsZero() {
		return fresh
	}
	late := in.answerDue()
	switch {
	case in.Was == plan.ReasonBaseNotAnswering, !in.Now.Before(late): // until it answers
		return Age{NotReady: plan.ReasonBaseNotAnswering, Message: messageOf(plan.ReasonBaseNotAnswering), Next: fresh.Next, Silent: fresh.Silent}
	}
	fresh.Next = earliest(fresh.Next, late)
	return fresh
}

// answerDue is when an unanswered request proves that the base does not answer. One sent
// before our link came up may be lost.
func (in AgeInput) answerDue() time.Time {
	if in.Unanswered.Before(in.Link.Since) {
		return in.Link.Since.Add(in.Config.LinkGrace + in.Config.UnresponsiveAfter)
	}
	return in.Unanswered.Add(in.Config.UnresponsiveAfter)
}

// messageOf explains the Ready condition.
func messageOf(reason string) string {
	switch reason {
	case plan.ReasonBaseSilent:
		return "No message received from the base; polling it"
	case plan.ReasonBaseNotAnswering:
		return "The base sends heartbeats but answers no command"
	case plan.ReasonBasePodDeleted:
		return "The Pod in which the base runs is being deleted, or is gone"
	case plan.ReasonIdentityConflict:
		return "Two live bases have this identity"
	}
	return "The base sends messages"
}

// expire ends a base that is silent for too long, or whose workload is no more.
func (b *Base) expire(in Facts, age Age) *Retirement {
	r := &Retirement{Why: "no message received for too long", Node: b.node.catchUp(in.Node), Installed: b.ledger.Installed}
	if age.Abandoned {
		r.Why, r.Evict = "its Pod is gone, and no message was received since", true
	}
	return r
}

// alive is the base's last sign of life. What answers at the address of a workload that is
// gone may be anybody: only heartbeats tell who sent them.
func (b *Base) alive(in Facts) time.Time {
	if in.Place.Workload == plan.WorkloadEnded {
		return b.about.beat
	}
	return b.about.lastSeen
}

// ageInput is what tells how alive the base is, if it was last seen then.
func (b *Base) ageInput(in Facts, lastSeen time.Time) AgeInput {
	return AgeInput{
		Now: in.Now, LastSeen: lastSeen, Heard: b.about.lastSeen, Workload: in.Place.Workload, ServedSince: b.since, Unanswered: b.talk.unanswered,
		Link: in.Links[b.about.heartbeat.Tunnel], Was: b.node.notReady, Config: b.cfg,
	}
}
