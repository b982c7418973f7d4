package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// bound is a pod that is bound to a base, and that base.
type bound struct {
	s    *fleet.Snapshot
	pod  *corev1.Pod
	base *fleet.Base
}

// boundRule finds why a pod that is bound to a base is not ready, or is still there.
type boundRule struct {
	name, doc string
	find      func(b bound) *found
}

// The order is the rank. What users can fix comes before what the base does, as in what pods
// show; what the base does not do for anybody comes before what it does with this pod's module.
var boundRules = []boundRule{
	{"not-a-module", docPodEvents, stranger},
	{"node-missing", docLeave, nodeMissing},
	{"pod-ended", docEnded, podEnded},
	{"invalid-module", docWaits, invalid},
	{"namespace-not-bound", docWaits, namespaceNotBound},
	{"secret-missing", docWaits, referenceMissing},
	{"uninstall-refused", docLeave, uninstallRefused},
	{"jar-of-another-name", docWaits, otherName},
	{"jar-of-another-version", docWaits, otherVersion},
	{"jar-missing", docWaits, jarMissing},
	{"jar-unreachable", docWaits, jarUnreachable},
	{"metaspace-full", docNode, metaspaceFull},
	{"port-taken", docWaits, portTaken},
	{"main-throws", docWaits, mainThrows},
	{"main-never-returns", docWaits, hangs},
	{"install-slow", docWaits, slow},
	{"deactivated", docWaits, deactivated},
	{"duplicate-module", docWaits, duplicate},
	{"module-conflict", docWaits, otherWorkload},
	{"superseded", docWaits, superseded},
	{"takeover-blocked", docWaits, blocked},
	{"base-not-bound", docWaits, unproved},
	{"secrets-need-encryption", docWaits, unencrypted},
	{"probe-fails", docNotReady, probeFails},
	{"gate-not-met", docNotReady, gateNotMet},
	{"not-taken-up", docNotReady, notTakenUp},
	{"installing", docWaits, installing},
	{"not-ready", docNotReady, notReady},
}

// fine says that the pod is as it should be.
func (b bound) fine() bool { return ready(b.pod) && b.pod.DeletionTimestamp == nil }

// waiting gives the reason and message of the pod's first container that waits.
func (b bound) waiting() (reason, message string) {
	for _, c := range b.pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return w.Reason, w.Message
		}
	}
	return "", ""
}

// waitsFor gives the message of a container that waits for one of reasons.
func (b bound) waitsFor(reasons ...string) (message string, does bool) {
	_, w := waits(b.pod, reasons...)
	if w == nil {
		return "", false
	}
	return w.Message, true
}

// says quotes what the pod shows.
func (b bound) says() []string {
	reason, message := b.waiting()
	if reason == "" {
		return []string{fmt.Sprintf("pod %s: %s", b.pod.Name, b.pod.Status.Phase)}
	}
	return []string{quote("pod "+b.pod.Name, reason+": "+message)}
}

// shows makes a finding of what the pod shows for a reason.
func (b bound) shows(cause, remedy string, reasons ...string) *found {
	message, does := b.waitsFor(reasons...)
	if !does {
		return nil
	}
	return &found{cause: cause + ": " + message, remedy: remedy, evidence: b.says()}
}

func stranger(b bound) *found {
	switch {
	case fleet.IsModule(b.pod), b.base == nil:
		return nil
	}
	f := &found{
		cause:    "this pod is no module, and is bound to a base: it has not the label " + plan.LabelComponent + "=" + plan.ComponentModule + ", and nothing runs it",
		remedy:   "if it is meant as a module, add the label to its template; if not, keep it off VNodes: node affinity {key: type, operator: NotIn, values: [virtual-kubelet]}",
		evidence: []string{fmt.Sprintf("pod %s/%s: bound to %s, %s", b.pod.Namespace, b.pod.Name, b.base.Name, b.pod.Status.Phase)},
	}
	for _, e := range b.s.EventsOf("Pod", b.pod.Namespace, b.pod.Name) {
		if e.Reason == plan.ReasonNotAModule {
			f.evidence = append(f.evidence, quote("Event "+e.Reason, e.Message))
		}
	}
	return f
}

func nodeMissing(b bound) *found {
	if b.base != nil && b.base.Node != nil || unreadable(b.s, "Node "+b.pod.Spec.NodeName) || unreadable(b.s, "Nodes") {
		return nil
	}
	return &found{
		cause:    "the pod is bound to " + b.pod.Spec.NodeName + ", which does not exist (any more)",
		remedy:   "delete the pod: its controller makes another. One with spec.nodeName waits until that base comes",
		evidence: []string{"there is no Node " + b.pod.Spec.NodeName},
	}
}

func podEnded(b bound) *found {
	if b.pod.Status.Phase != corev1.PodFailed || b.pod.DeletionTimestamp != nil {
		return nil
	}
	return &found{
		cause:    "the pod has ended: " + cmp.Or(b.pod.Status.Message, b.pod.Status.Reason, "its module was uninstalled"),
		remedy:   "its controller makes another; if they end again and again, spread them over bases (anti-affinity with matchLabelKeys)",
		evidence: []string{quote("pod "+b.pod.Name, string(b.pod.Status.Phase)+", "+b.pod.Status.Reason+": "+b.pod.Status.Message)},
	}
}

func invalid(b bound) *found {
	return b.shows("the pod does not name a module", "correct what the message says", plan.ReasonInvalid)
}

// environmentRole is the ClusterRole that lets the controller read what environments refer to.
const environmentRole = "module-controller-environment"

func namespaceNotBound(b bound) *found {
	message, does := b.waitsFor(plan.ReasonConfigError)
	if !does || !mentions(message, environmentRole) {
		return nil
	}
	return &found{
		cause: "the controller may not read the Secrets and ConfigMaps of namespace " + b.pod.Namespace,
		remedy: fmt.Sprintf("kubectl create rolebinding %s -n %s --clusterrole=%s --serviceaccount=%s:module-controller",
			environmentRole, b.pod.Namespace, environmentRole, b.s.Namespace),
		evidence: b.says(),
	}
}

func referenceMissing(b bound) *found {
	return b.shows("a Secret or ConfigMap that the pod's environment refers to is missing", "create it in namespace "+b.pod.Namespace+"; the pod goes on within 30 s",
		plan.ReasonConfigError)
}

func uninstallRefused(b bound) *found {
	if b.pod.DeletionTimestamp == nil || b.pod.Status.Reason != plan.ReasonUninstallPending {
		return nil
	}
	return &found{
		cause:    "the pod is deleted, and the base does not uninstall its module: " + b.pod.Status.Message,
		remedy:   "fix what the message says (a base that holds on to files, a start that does not end); it is tried every minute. A restart of the base ends it",
		evidence: []string{quote("pod "+b.pod.Name, b.pod.Status.Reason+": "+b.pod.Status.Message)},
	}
}

func duplicate(b bound) *found {
	return b.shows("another pod has the same module on this base", "spread the pods over bases (anti-affinity with matchLabelKeys), or lower replicas to the number of bases", plan.ReasonDuplicate)
}

func otherWorkload(b bound) *found {
	return b.shows("a pod of another workload has the module on this base", "give the two workloads different bases, or delete one", plan.ReasonConflict)
}

func superseded(b bound) *found {
	return b.shows("a pod of the wanted revision has the module on this base", "delete this pod, or wait for its Deployment to do so", plan.ReasonSuperseded)
}

func blocked(b bound) *found {
	return b.shows("the pod takes over whole, and another module of it cannot start", "fix what that one shows", plan.ReasonBlocked)
}

func unproved(b bound) *found {
	return b.shows("the pod's Secrets are kept back, for who the base is was not proved", "set HTTP_TUNNEL_AUTH to anything but insecure-anyone, or run the module without Secrets", plan.ReasonNotBound)
}

func unencrypted(b bound) *found {
	return b.shows("the pod's Secrets are kept off bases over plain HTTP", "reach the base over MQTT with TLS, set SECRETS_OVER_HTTP=allow, or run the module without Secrets", plan.ReasonNeedsEncryption)
}

// unhealthy is the reason of Events about probes that fail, as kubelets have it.
const unhealthy = "Unhealthy"

func probeFails(b bound) *found {
	if b.fine() || !slices.ContainsFunc(b.pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil && !c.Ready }) {
		return nil
	}
	f := &found{
		cause:    "the module serves, and its probe does not pass",
		remedy:   "see what the probe asks: it comes from the owner's replica to the base's address, so a network policy must let it in",
		evidence: b.says(),
	}
	for _, e := range b.s.EventsOf("Pod", b.pod.Namespace, b.pod.Name) {
		if e.Reason == unhealthy {
			f.cause, f.evidence = "the module serves, and its probe fails: "+e.Message, []string{quote("Event "+e.Reason, e.Message)}
		}
	}
	return f
}

func gateNotMet(b bound) *found {
	for _, c := range b.pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Reason == "ReadinessGatesNotReady" {
			return &found{cause: "the module serves, and a readiness gate of the pod is not met", remedy: "see who sets that condition: a controller of a load balancer, say", evidence: []string{quote("pod "+b.pod.Name, c.Message)}}
		}
	}
	return nil
}

// takenUpWithin is how long after a pod was bound its owner shows something at the latest,
// where all is well.
const takenUpWithin = 15 * time.Second

func notTakenUp(b bound) *found {
	if len(b.pod.Status.ContainerStatuses) > 0 || b.s.At.Sub(b.pod.CreationTimestamp.Time) < takenUpWithin {
		return nil
	}
	owner := "nobody"
	if m := b.s.Owner(b.base); m != nil {
		owner = m.Name
	}
	return &found{
		cause:    "the base's owner, " + owner + ", has told nothing of this pod",
		remedy:   "see the log of that replica, and whether it may write the statuses of pods: kubectl modules check",
		evidence: append(b.says(), leaseText(b.base)),
	}
}

// installing is no fault for a while.
func installing(b bound) *found {
	f := b.shows("the module is being installed", "wait; a base does three installs at a time", plan.ReasonInstalling, plan.ReasonCreating)
	if f == nil {
		return nil
	}
	return f.mild(Note)
}

// notReady is what is left.
func notReady(b bound) *found {
	if b.fine() || b.pod.Status.Phase == corev1.PodSucceeded {
		return nil
	}
	f := &found{cause: "the pod is not ready", remedy: "see what it shows: kubectl describe pod -n " + b.pod.Namespace + " " + b.pod.Name, evidence: b.says()}
	if b.pod.DeletionTimestamp != nil {
		f.cause, f.remedy = "the pod is being deleted: its module is uninstalled", "wait; if it stays, see its status.message and its base"
		return f.mild(Note)
	}
	return f
}
