package diagnose

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// baseRule finds what is wrong with one base. What one rule found keeps no other from
// looking: a base may be cordoned and silent.
type baseRule struct {
	name, doc string
	// holds is what is so where the rule finds nothing.
	holds string
	find  func(s *fleet.Snapshot, b *fleet.Base) *found
}

var baseRules = []baseRule{
	{"foreign-lease", docInstallation, "no base is held by a foreign controller or installation", foreignLease},
	{"environment-unserved", docInstallation, "each base's environment is served", unservedBase},
	{"base-unowned", docInstallation, "each base has an owner", unowned},
	{"identity-conflict", docNode, "each base has an identity of its own", conflict},
	{"base-pod-deleted", docNode, "no base's Pod is deleted", podDeleted},
	{"base-silent", docNode, "each base is heard", silentBase},
	{"base-deaf", docNode, "each base answers", deaf},
	{"node-not-ready", docNode, "no Node is held for dead", notReadyOtherwise},
	{"renewals-behind", docInstallation, "the Leases of bases are renewed in time", behind},
	{"address-reused", docNodeEvents, "no base's address was reused", reused},
	{"base-contested", docNodeEvents, "nobody else says that it is one of the bases", contested},
	{"metaspace-full", docNode, "no base's metaspace is full", pressure},
	{"capacity-clipped", docNodeEvents, "no base claims more than it is believed to have", clipped},
	{"unmanaged-module", docNodeEvents, "each module belongs to a pod", unmanaged},
	{"events-left-out", docNodeEvents, "no base changes too often", restless},
	{"leftover-lease", docInstallation, "no Lease is left over", leftoverLease},
	{"base-pinned", docInstallation, "no base is pinned to a member", pinned},
	{"base-cordoned", docNode, "no base is cordoned", cordoned},
}

// Base gives what is wrong with one base.
func Base(s *fleet.Snapshot, b *fleet.Base) (all []Finding) {
	for _, rule := range baseRules {
		if f := rule.find(s, b); f != nil {
			all = append(all, f.finding(rule.name, rule.doc, baseObject(b)))
		}
	}
	return rank(all)
}

func baseObject(b *fleet.Base) Object { return Object{Kind: "Node", Name: b.Name} }

// leaseOf names a base's Lease.
func leaseOf(b *fleet.Base) string { return "Lease " + corev1.NamespaceNodeLease + "/" + b.Name }

// leaseText says who holds a base's Lease.
func leaseText(b *fleet.Base) string {
	if b.Lease == nil {
		return "there is no " + leaseOf(b)
	}
	holder := b.Lease.Holder
	if holder == "" {
		holder = "nobody"
	}
	text := leaseOf(b) + ": held by " + holder
	if b.Lease.Installation != "" {
		text += " of namespace " + b.Lease.Installation
	}
	if !b.Lease.Renewed.IsZero() {
		text += ", renewed " + b.Lease.Renewed.UTC().Format(time.TimeOnly)
	}
	return text
}

// readyText quotes the Ready condition of a base's Node.
func readyText(b *fleet.Base) string {
	for _, c := range b.Node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return quote("Node "+b.Name, string(c.Type)+" is "+string(c.Status)+", "+c.Reason+": "+c.Message)
		}
	}
	return "Node " + b.Name + " has no Ready condition"
}

func foreignLease(s *fleet.Snapshot, b *fleet.Base) *found {
	if !s.Foreign(b) {
		return nil
	}
	f := &found{evidence: []string{leaseText(b)}}
	if of := b.Lease.Installation; of != "" && of != s.Namespace {
		f.cause = "this base is held by another installation, in namespace " + of + "; the one in " + s.Namespace + " stands by for it"
		f.remedy = "stop one of the two, or give them different environments (ENV); to move, stop the old one"
		return f
	}
	f.cause = "this base's Lease is of a foreign controller, " + b.Lease.Holder + ": it is served by that one, and this controller stands by for it"
	f.remedy = fmt.Sprintf("stop the other controller; the base is taken once its Lease stays unchanged for its duration (%s) and 10 s", b.Lease.Duration)
	return f
}

// unservedBase tells of a base whose environment nobody serves who lives.
func unservedBase(s *fleet.Snapshot, b *fleet.Base) *found {
	if len(s.Live()) == 0 || s.Serves(b.ID.Env) || s.Foreign(b) || s.ServedBy(b.ID.Env) != nil {
		return nil
	}
	envs, _ := s.Served()
	return &found{
		cause:    "no replica serves the environment " + b.ID.Env + " of this base; they serve " + some(envs),
		remedy:   "add it to ENV of the StatefulSet; if the base is gone for good, delete its Lease and then its Node",
		evidence: []string{leaseText(b)},
	}
}

// unowned tells of a base whose Lease names no live member of ours.
func unowned(s *fleet.Snapshot, b *fleet.Base) *found {
	switch {
	case s.Foreign(b), s.Owner(b) != nil, b.Node == nil, !s.Serves(b.ID.Env) && len(s.Live()) > 0:
		return nil
	}
	f := &found{evidence: []string{leaseText(b)}}
	switch {
	case len(s.Live()) == 0:
		f.cause = "nobody owns this base: no replica is a member"
		f.remedy = "start the controller in namespace " + s.Namespace
	case b.Lease == nil:
		f.cause = "nobody owns this base: its Lease is missing, deleted by somebody"
		f.remedy = "wait: a member that hears the base makes it anew within 39 s; if not, the base is not heard. If it is gone for good, delete its Node"
	case b.Lease.Holder == "":
		f.cause = "nobody owns this base: its Lease has no holder"
		f.remedy = "wait: a member takes it within 39 s; if not, see kubectl modules check for members that cannot"
	default:
		f.cause = "the owner of this base, " + b.Lease.Holder + ", is no member any more"
		f.remedy = "wait: a member takes it within 11 s; if not, see kubectl modules check for members that cannot"
	}
	if ready := b.NotReady(); ready != "" {
		f.evidence = append(f.evidence, readyText(b))
	}
	return f
}

// notReadyFor makes a rule of a reason of the Ready condition.
func notReadyFor(b *fleet.Base, reason, cause, remedy string) *found {
	if b.NotReady() != reason {
		return nil
	}
	return &found{cause: cause, remedy: remedy, evidence: []string{readyText(b)}}
}

func conflict(_ *fleet.Snapshot, b *fleet.Base) *found {
	return notReadyFor(b, plan.ReasonIdentityConflict, "two live bases have this identity, "+b.ID.Identity+", on the same MQTT topics; neither gets commands",
		"give each an identity of its own, or stop one; the Node's message names both")
}

func podDeleted(_ *fleet.Snapshot, b *fleet.Base) *found {
	return notReadyFor(b, plan.ReasonBasePodDeleted, "the Pod in which this base runs is being deleted, or is gone: "+b.Says.Sender.Workload,
		"nothing, if the bases are rolled: its modules are placed on others. If the Pod runs, it lost its label base.koupleless.io/stack")
}

func silentBase(_ *fleet.Snapshot, b *fleet.Base) *found {
	remedy := "see whether its JVM runs and reaches the broker: it should publish a heartbeat every 10 s. It is polled meanwhile"
	if b.Says.Port > 0 {
		remedy = "see whether its JVM runs, and whether it reaches the Service module-controller: it should send a heartbeat every 12 s. It is polled meanwhile at " + b.Says.IP
	}
	return notReadyFor(b, plan.ReasonBaseSilent, "this base is silent: nothing was heard of it for STALE_AFTER (40 s)", remedy)
}

func deaf(_ *fleet.Snapshot, b *fleet.Base) *found {
	remedy := "see whether the base is subscribed to its topics (the broker's ACL), and whether its threads hang: jstack"
	if b.Says.Port > 0 {
		remedy = fmt.Sprintf("see whether %s port %d is reached from the replicas (network policy), and whether the base's threads hang: jstack", b.Says.IP, b.Says.Port)
	}
	return notReadyFor(b, plan.ReasonBaseNotAnswering, "this base is deaf: it sends heartbeats and answers no command", remedy)
}

// notReadyOtherwise tells of a Node that somebody else made not ready: Kubernetes, where
// nobody renewed its Lease.
func notReadyOtherwise(s *fleet.Snapshot, b *fleet.Base) *found {
	switch b.NotReady() {
	case "", plan.ReasonIdentityConflict, plan.ReasonBasePodDeleted, plan.ReasonBaseSilent, plan.ReasonBaseNotAnswering:
		return nil
	}
	f := &found{
		cause:    "Kubernetes holds this Node for dead: its Lease was not renewed for the node-monitor-grace-period",
		remedy:   "see who owns the base: kubectl modules check. The Node is ready again with the first renewal",
		evidence: []string{readyText(b), leaseText(b)},
	}
	if m := s.Owner(b); m != nil {
		f.cause += ", though " + m.Name + " owns it"
	}
	return f
}

// behind tells of an owner that lives and does not renew a base's Lease in time: at the
// latest it does after three quarters of the Lease's duration.
func behind(s *fleet.Snapshot, b *fleet.Base) *found {
	late := s.Late(b)
	if b.Lease == nil || b.Lease.Duration == 0 || late <= b.Lease.Duration*3/4+margin {
		return nil
	}
	return &found{
		cause:    fmt.Sprintf("renewals are behind: %s lives and has not renewed this base's Lease for %s", s.Owner(b).Name, age(late)),
		remedy:   "see module_controller_leases_refused, how long requests take, and the FlowSchema of manifests/availability.yaml; raise LEASE_WORKERS or run more replicas",
		evidence: []string{leaseText(b)},
	}
}

func pressure(_ *fleet.Snapshot, b *fleet.Base) *found {
	if b.Node == nil {
		return nil
	}
	for _, c := range b.Node.Status.Conditions {
		if c.Type == corev1.NodeMemoryPressure && c.Status == corev1.ConditionTrue {
			return found{
				cause:    "the metaspace of this base is full; no pod without requests is placed there",
				remedy:   "start the base with a larger -XX:MaxMetaspaceSize, restart it if modules came and went often, or take modules off it",
				evidence: []string{quote("Node "+b.Name, string(c.Type)+", "+c.Reason+": "+c.Message)},
			}.mild(Warning)
		}
	}
	return nil
}

// leftoverLease tells of a Lease of ours without a Node that nobody renews any more.
func leftoverLease(s *fleet.Snapshot, b *fleet.Base) *found {
	if b.Node != nil || b.Lease == nil || s.Foreign(b) || s.Owner(b) != nil || s.At.Sub(b.Lease.Renewed) < time.Hour || unreadable(s, "Nodes") {
		return nil
	}
	return found{
		cause:    "a Lease of a base is left over: the base has no Node, and nobody owns it",
		remedy:   "if the base is gone for good: kubectl delete lease -n kube-node-lease " + b.Name,
		evidence: []string{leaseText(b)},
	}.mild(Note)
}

func cordoned(_ *fleet.Snapshot, b *fleet.Base) *found {
	if b.Node == nil || !b.Node.Spec.Unschedulable {
		return nil
	}
	return found{
		cause:    "this base is cordoned: no pod is placed there",
		remedy:   "kubectl uncordon " + b.Name,
		evidence: []string{"Node " + b.Name + ": spec.unschedulable is true"},
	}.mild(Note)
}
