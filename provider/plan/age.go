package plan

import (
	"fmt"
	"time"
)

// AgeInput is what tells how alive a base is. All times are of this process's
// clock, with monotonic readings.
type AgeInput struct {
	Now time.Time
	// Heard is the base's last sign of life of any kind, zero for none yet. Adopted
	// is since when this process serves it.
	Heard, Adopted time.Time
	// Unanswered is when the first request was sent that it has not answered;
	// zero when it owes no answer.
	Unanswered time.Time
	// LinkUp says whether our own link to the base's tunnel is up, LinkSince since
	// when it is so.
	LinkUp    bool
	LinkSince time.Time
	// Was is the reason why the base was not ready at the last look, empty if it was.
	Was string
	// Conflict explains that two live bases share the identity.
	Conflict string

	StaleAfter, AnswerAfter, GoneAfter, LinkGrace time.Duration
}

// Age is how alive a base is.
type Age struct {
	// NotReady is the Ready condition's reason when it is False, else empty.
	NotReady string
	Message  string
	// Gone: it was silent for so long that its Node is deleted.
	Gone bool
	// Next is when this changes if nothing is heard; zero means not by itself.
	Next time.Time
}

// AgeOf judges a base by when this process heard it last. While our own link is
// down nothing ages; a base that was not heard since the link came back has
// LinkGrace to come back itself, whoever served it when it was away.
func AgeOf(in AgeInput) Age {
	if in.Conflict != "" {
		return Age{NotReady: ReasonIdentityConflict, Message: in.Conflict}
	}
	if !in.LinkUp {
		return Age{NotReady: in.Was, Message: messageOf(in.Was)}
	}
	if in.Heard.IsZero() && in.Was == ReasonBaseSilent {
		in.Heard = in.Adopted.Add(-in.StaleAfter) // whoever served it before did not hear it either
	}
	from := in.Heard
	if !in.Heard.After(in.LinkSince) {
		from = in.LinkSince.Add(in.LinkGrace)
	}
	if in.Was != ReasonBaseSilent && in.Adopted.After(from) {
		// Whoever served it before heard it, or it would not be Ready: answers to polls
		// are heard by the owner alone.
		from = in.Adopted
	}
	stale, gone := from.Add(in.StaleAfter), from.Add(in.GoneAfter)
	switch {
	case !in.Now.Before(gone):
		return Age{NotReady: ReasonBaseSilent, Gone: true, Message: fmt.Sprintf("The base was not heard for %s", in.GoneAfter)}
	case !in.Now.Before(stale):
		return Age{NotReady: ReasonBaseSilent, Message: messageOf(ReasonBaseSilent), Next: gone}
	case in.Was == ReasonBaseSilent && !in.Heard.After(in.LinkSince):
		// It was silent before our link broke and has not been heard since.
		return Age{NotReady: ReasonBaseSilent, Message: messageOf(ReasonBaseSilent), Next: gone}
	}
	if in.Unanswered.IsZero() {
		return Age{Message: messageOf(""), Next: stale}
	}
	late := in.Unanswered.Add(in.AnswerAfter)
	if in.Unanswered.Before(in.LinkSince) {
		late = in.LinkSince.Add(in.LinkGrace + in.AnswerAfter)
	}
	// What did not answer before does so when it answers.
	if in.Was == ReasonBaseNotAnswering || !in.Now.Before(late) {
		return Age{NotReady: ReasonBaseNotAnswering, Message: messageOf(ReasonBaseNotAnswering), Next: stale}
	}
	if late.Before(stale) {
		stale = late
	}
	return Age{Message: messageOf(""), Next: stale}
}

func messageOf(reason string) string {
	switch reason {
	case ReasonBaseSilent:
		return "The base has not been heard for too long; it is polled"
	case ReasonBaseNotAnswering:
		return "The base sends heartbeats but answers no command"
	case ReasonIdentityConflict:
		return "Two live bases have this identity"
	}
	return "The base is heard"
}
