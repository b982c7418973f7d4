package lifecycle

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
)

// need is how much the next questions to a base are needed. Needs are ordered.
type need int

const (
	patient need = iota // nothing is uncertain: they wait for the budget
	urgent              // something is, or was lately
	awaited             // something waits for the list: it is asked for until it comes
)

// needs says how much the base's list is needed, and notes when something is uncertain. A
// base that was not asked yet is one of which nothing is known, and yet it may be that nobody
// waits for that: its pods show what the owner before saw.
func (b *Base) needs(in Facts, out plan.Output, do *Actions) need {
	n := b.needOf(in, out, do)
	switch {
	case n > patient, b.talk.listAsked.IsZero():
		b.talk.stirred = in.Now
	}
	b.talk.stirs = false
	return n
}

func (b *Base) needOf(in Facts, out plan.Output, do *Actions) need {
	unsettled := b.unsettled(in, out, do)
	switch {
	case b.talk.listAsked.IsZero() && !unsettled:
		return patient
	case b.needsList(in, out):
		return awaited
	case unsettled, !b.quiet(out), b.unheard(in):
		return urgent
	}
	return patient
}

// stir notes that something was told that makes the base uncertain.
func (t *talk) stir(told bool) {
	if told {
		t.stirs = true
	}
}

// unheard says that the list did not come that was asked for last.
func (b *Base) unheard(in Facts) bool {
	if b.heard() {
		return false
	}
	return !in.Now.Before(b.talk.listAsked.Add(b.cfg.ListEvery))
}

// unsettled says that the base or one of its pods is not yet as it is to be.
func (b *Base) unsettled(in Facts, out plan.Output, do *Actions) bool {
	switch {
	case b.talk.stirs, !b.admitted(in), b.unready.reason != "", b.probes(in), do.NeedCurrent:
		return true
	case len(do.Write.Pods) > 0, len(do.Write.Finish) > 0:
		return true
	}
	return slices.ContainsFunc(out.Statuses, unsettled)
}

// unsettled says that a pod is to go, or that one of its modules does not run.
func unsettled(s plan.PodStatus) bool {
	switch {
	case s.Pod.Gone, s.Pod.DeletionTimestamp != nil:
		return true
	case s.Status.Phase == corev1.PodSucceeded, s.Status.Phase == corev1.PodFailed:
		return false
	}
	waits := func(c corev1.ContainerStatus) bool { return c.State.Waiting != nil }
	return len(s.Status.ContainerStatuses) == 0 || slices.ContainsFunc(s.Status.ContainerStatuses, waits)
}
