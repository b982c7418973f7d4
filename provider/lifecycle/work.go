package lifecycle

import (
	"bytes"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"module-controller/provider/plan"
)

// plan asks what the pods should show and what is to be sent.
func (b *Base) plan(in Facts, age Age, conflict string) plan.Output {
	b.ledger.recall(in.Failures)
	return plan.Modules(plan.Input{
		Now: in.Now, BaseID: b.id, IP: b.about.heartbeat.IP,
		Bound: b.about.heartbeat.Sender.Bound, Readable: dialed(b.about.heartbeat),
		Live: b.live(in, age), Ended: b.ended(in), Held: b.mute(in) || b.ledger.Full(b.cfg.CommandsPerBase), NotReady: b.unready.reason,
		Conflict: conflict, Since: b.since, LinkSince: in.Links[b.about.heartbeat.Tunnel].Since,
		Seen: b.seen.Seen, Pods: in.Pods, Memory: b.ledger.Memory, Config: b.cfg.Plan,
	})
}

// ended says that the base's process is no more. That its Pod left our sight does not say so,
// unless that was seen to be deleted.
func (b *Base) ended(in Facts) bool {
	workload := b.about.heartbeat.Sender.Workload
	if in.Place.Workload == plan.WorkloadEnds {
		b.about.ends = workload
	}
	return in.Place.Workload == plan.WorkloadEnded && b.about.ends == workload
}

// displaced gives the pods that are to be made anew elsewhere, once the Node shows that the
// base's Pod is being deleted.
func displaced(in Facts) []*corev1.Pod {
	if in.Place.Workload != plan.WorkloadEnds {
		return nil
	}
	return plan.Displaced(in.Node, in.Pods)
}

// live says that commands reach the base, and nobody else. The address of a workload that is
// gone may be anybody's by now.
func (b *Base) live(in Facts, age Age) bool {
	switch {
	case in.Place.Workload == plan.WorkloadEnded, !b.talk.reachable, in.Mail.Contest.ambiguous(in.Now, b.cfg.StaleAfter):
		return false
	}
	return age.NotReady != plan.ReasonBaseSilent
}

// podWrites is what a plan has to be written of pods.
type podWrites struct {
	finish  []plan.PodStatus // pods that are deleted, their status with them
	rewrite []plan.PodStatus // pods whose status differs
}

// podWritesOf compares each pod's status with the one that is to be shown. Of a pod that is
// gone nobody reads the status.
func podWritesOf(statuses []plan.PodStatus) podWrites {
	var w podWrites
	for _, s := range statuses {
		switch {
		case s.Finished:
			w.finish = append(w.finish, s)
		case s.Pod.Gone:
		case !sameStatus(&s.Pod.Status, &s.Status):
			w.rewrite = append(w.rewrite, s)
		}
	}
	return w
}

// sameStatus says whether two statuses differ in nothing that the API server would store, which
// keeps whole seconds. Nearly all are the same, and what they are written as tells so in a
// fraction of the time that it takes to compare them by reflection.
func sameStatus(a, b *corev1.PodStatus) bool {
	return sameBytes(a, b) || equality.Semantic.DeepEqual(a, b)
}

func sameBytes(a, b *corev1.PodStatus) bool {
	if a.Size() != b.Size() {
		return false
	}
	was, err := a.Marshal()
	if err != nil {
		return false
	}
	is, err := b.Marshal()
	return err == nil && bytes.Equal(was, is)
}

// none says that no pod is written or deleted.
func (w podWrites) none() bool { return len(w.finish)+len(w.rewrite) == 0 }

// withheld is a plan that changes nothing. It is made anew when the cache of pods has
// caught up.
func withheld(memory plan.Memory, out plan.Output) plan.Output {
	return plan.Output{Memory: memory, Ask: out.Ask}
}

// affordable gives the commands that may be sent now. One that would still be in flight
// when the claim ends is refused where it leaves.
func (b *Base) affordable(in Facts, out plan.Output) []plan.Planned {
	if b.mute(in) {
		return nil
	}
	return b.ledger.Affordable(out.Commands, b.cfg.CommandsPerBase-out.Inherited)
}

// mute says that no command leaves now, whatever is in flight.
func (b *Base) mute(in Facts) bool {
	return b.phase >= Draining || !in.Claim.Outlives(in.Now)
}

// write gives what differs at the API server, with what is told of the Node beside what
// the plan tells.
func (b *Base) write(in Facts, age Age, out plan.Output, differ podWrites, told []plan.Event) Write {
	was, node := b.wantNode(in, age)
	return Write{
		Was: was, Node: node, Show: true, Pods: differ.rewrite, Finish: differ.finish, Displace: displaced(in),
		Events: b.node.tell(was != nil || node != nil, told, out.Events),
	}
}

// maxUntold bounds what is kept to be told of a Node that is not there.
const maxUntold = 10

// tell gives what is told now, first of the Node and then what the plan tells. What the plan
// tells of a Node that is not there waits for it; who contends with a base that has none is
// of no interest later.
func (n *nodeCopy) tell(there bool, ofNode, planned []plan.Event) []plan.Event {
	waiting := n.untold
	n.untold = nil
	if there {
		return slices.Concat(waiting, ofNode, planned)
	}
	var now []plan.Event
	n.untold = waiting
	for _, e := range planned {
		if e.Pod == "" {
			n.untold = append(n.untold, e)
		} else {
			now = append(now, e)
		}
	}
	n.untold = n.untold[:min(len(n.untold), maxUntold)]
	return now
}
