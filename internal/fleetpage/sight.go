package fleetpage

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"module-controller/election"
	"module-controller/internal/fleet"
	"module-controller/tunnel"
)

// Sight is what a member sees of the fleet. Nothing in it is changed.
type Sight struct {
	// Fleet has the members, bases and Leases that the member knows. Its pods are not looked at.
	Fleet *fleet.Snapshot
	// Envs are the environments that the member serves: of others' bases it knows no Leases.
	Envs []string
	// Pods are the module pods that are bound to bases, of all members.
	Pods []*corev1.Pod
	// Moves are the last ones that the member took part in, the newest first.
	Moves []election.Move
	// Self is the name of the member, Version its binary's.
	Self, Version string
	// Notes are what the member tells of itself.
	Notes []string
}

// base is a base as it is shown.
type base struct {
	Name, App, Owner string
	// NotReady is the reason for which its Node is not Ready, Message its words; both are
	// empty where it is.
	NotReady, Message string
	Since             time.Time // it is not Ready; zero where it is, or that is not known
	// Pin says where it was moved to by hand, and until when; empty where it was not.
	Pin string
	// Modules counts its module pods, Failing those of them that are not Ready.
	Modules, Failing int
}

// Trouble says whether a base is not as it should be.
func (b base) Trouble() bool { return b.NotReady != "" || b.Owner == "" }

// pod is a pod that is not Ready, as it is shown.
type pod struct {
	Namespace, Name, Base, Reason, Message string
	Since                                  time.Time
}

// cause counts what fails for one reason.
type cause struct {
	What, Reason string
	Count        int
}

// sum is what is shown of a Sight, for all queries.
type sum struct {
	Sight
	bases  []base // in the order of their names
	pods   []pod  // not Ready, those that wait longest first
	causes []cause
	ready  int // of the pods
	hidden int // bases of other environments
}

// reasonNoNode is shown of a base that has a Lease but no Node.
const reasonNoNode = "NoNode"

// sumUp works out what all queries show.
func sumUp(s Sight) *sum {
	of := &sum{Sight: s}
	counted := map[cause]int{}
	modules, failing := map[string]int{}, map[string]int{}
	for _, p := range s.Pods {
		if p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		modules[p.Spec.NodeName]++
		waits, reason := waiting(p)
		if !waits {
			of.ready++
			continue
		}
		failing[p.Spec.NodeName]++
		counted[cause{What: "pod", Reason: reason.Reason}]++
		of.pods = append(of.pods, reason)
	}
	slices.SortFunc(of.pods, func(a, b pod) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	for _, b := range s.Fleet.Bases {
		if !slices.Contains(s.Envs, b.ID.Env) {
			of.hidden++
			continue
		}
		shown := of.base(b)
		shown.Modules, shown.Failing = modules[b.Name], failing[b.Name]
		if shown.NotReady != "" {
			counted[cause{What: "base", Reason: shown.NotReady}]++
		}
		of.bases = append(of.bases, shown)
	}
	for c, n := range counted {
		of.causes = append(of.causes, cause{c.What, c.Reason, n})
	}
	slices.SortFunc(of.causes, func(a, b cause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.What, b.What), strings.Compare(a.Reason, b.Reason))
	})
	return of
}

func (of *sum) base(b *fleet.Base) base {
	shown := base{Name: b.Name, App: b.Says.Name, NotReady: b.NotReady()}
	if pin, is := of.Fleet.PinOf(b.Name); is {
		shown.Pin = "pinned to " + pin.Member + " until " + pin.Until.UTC().Format("2006-01-02 15:04")
	}
	switch m := of.Fleet.Owner(b); {
	case m != nil:
		shown.Owner = m.Name
	case of.Fleet.Foreign(b):
		shown.Owner = "not ours: " + cmp.Or(b.Lease.Installation, b.Lease.Holder)
	}
	if b.Node == nil {
		shown.NotReady, shown.Message = reasonNoNode, "it has a Lease, but no Node (yet)"
		return shown
	}
	for _, c := range b.Node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			shown.Message, shown.Since = say(c.Message), c.LastTransitionTime.Time
		}
	}
	return shown
}

// waiting says whether a pod is not Ready, and as what it is shown then.
func waiting(p *corev1.Pod) (waits bool, shown pod) {
	shown = pod{Namespace: p.Namespace, Name: p.Name, Base: p.Spec.NodeName, Since: p.CreationTimestamp.Time}
	for _, c := range p.Status.Conditions {
		if c.Type != corev1.PodReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			return false, pod{}
		}
		shown.Reason, shown.Message = c.Reason, c.Message
		if !c.LastTransitionTime.IsZero() {
			shown.Since = c.LastTransitionTime.Time
		}
	}
	if reason, message := ofContainers(p); reason != "" {
		shown.Reason, shown.Message = reason, message
	}
	shown.Reason, shown.Message = cmp.Or(shown.Reason, p.Status.Reason, string(p.Status.Phase), "Unknown"), say(cmp.Or(shown.Message, p.Status.Message))
	return true, shown
}

// ofContainers gives why the first container waits or ended that does not run.
func ofContainers(p *corev1.Pod) (reason, message string) {
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range statuses {
			switch {
			case c.State.Waiting != nil && c.State.Waiting.Reason != "":
				return c.State.Waiting.Reason, c.State.Waiting.Message
			case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
				return c.State.Terminated.Reason, c.State.Terminated.Message
			}
		}
	}
	return "", ""
}

// maxSaid is how many bytes of a message are shown.
const maxSaid = 240

// say makes words fit to be shown.
func say(text string) string { return tunnel.Say(text, maxSaid) }

// age says how long ago a time was, as kubectl does; empty for the zero time.
func age(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(now.Sub(at), 0))
}
