package diagnose

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// waitingRule finds why a pod has no base yet.
type waitingRule struct {
	name, doc string
	find      func(s *fleet.Snapshot, p placing) *found
}

// The order is the rank: an environment that nobody serves has no base either.
var waitingRules = []waitingRule{
	{"held-by-gate", docNoBase, gated},
	{"environment-unserved", docNoBase, unservedPod},
	{"no-base", docNoBase, noBase},
	{"no-base-matches", docNoBase, noMatch},
	{"taint-not-tolerated", docNoBase, taintStands},
	{"base-cordoned", docNoBase, allCordoned},
	{"bases-not-ready", docNoBase, allDown},
	{"metaspace-full", docNoBase, noRoom},
	{"anti-affinity-full", docNoBase, noFreeBase},
	{"not-scheduled", docNoBase, notScheduled},
}

// gated tells of a pod that the scheduler is not to look at yet.
func gated(_ *fleet.Snapshot, p placing) *found {
	if len(p.pod.Spec.SchedulingGates) == 0 {
		return nil
	}
	return &found{
		cause:    "the pod has scheduling gates, and whoever set them has not taken them away",
		remedy:   "see who sets the gate " + p.pod.Spec.SchedulingGates[0].Name,
		evidence: []string{"spec.schedulingGates is not empty"},
	}
}

// envOf is the environment that a pod asks for; empty where it names none.
func envOf(pod *corev1.Pod) string {
	if env := pod.Spec.NodeSelector[plan.LabelEnv]; env != "" {
		return env
	}
	for _, t := range pod.Spec.Tolerations {
		if t.Key == plan.TaintEnv && t.Value != "" {
			return t.Value
		}
	}
	return ""
}

func unservedPod(s *fleet.Snapshot, p placing) *found {
	env := envOf(p.pod)
	switch {
	case env == "", len(s.Live()) == 0, s.Serves(env), s.ServedBy(env) != nil, p.best() == fits:
		return nil
	}
	envs, _ := s.Served()
	return &found{
		cause:    fmt.Sprintf("wrong environment: the pod asks for bases of %s, which no replica serves; they serve %s", env, some(envs)),
		remedy:   "correct the pod's toleration of " + plan.TaintEnv + " and its selector, or add " + env + " to ENV of the StatefulSet",
		evidence: append([]string{"the pod names the environment " + env}, p.evidence()...),
	}
}

func noBase(s *fleet.Snapshot, p placing) *found {
	if len(p.bases) > 0 || unreadable(s, "Nodes") {
		return nil
	}
	f := &found{
		cause:    "there is no base: no VNode is in the cluster",
		remedy:   "start a base; if one runs, see that it speaks to the broker or the Service that the controller listens at (kubectl modules check). A Pod that is a base: kubectl modules why pod/NAME",
		evidence: []string{"no Node has the label " + plan.LabelComponent + "=" + plan.ComponentVNode},
	}
	if len(s.Live()) == 0 {
		f.cause += ", and no replica of the controller is a member"
		f.remedy = "start the controller: kubectl modules check"
	}
	return f
}

func noMatch(s *fleet.Snapshot, p placing) *found {
	if p.best() != unselected {
		return nil
	}
	f := &found{
		cause:    "no base matches the pod's node selector or affinity",
		remedy:   "correct the nodeSelector of the template, or start such a base: kubectl modules bases",
		evidence: p.evidence(),
	}
	if missing := unmatched(s, p.pod); len(missing) > 0 {
		f.cause = "no base matches the pod's node selector: " + some(missing)
	}
	return f
}

func taintStands(_ *fleet.Snapshot, p placing) *found {
	if p.best() != untolerated {
		return nil
	}
	texts := map[string]int{}
	by := map[string]corev1.Taint{}
	for t, n := range p.taints {
		texts[t.ToString()] += n
		by[t.ToString()] = t
	}
	t := by[most(texts)]
	return &found{
		cause:    "the pod does not tolerate the taint " + t.ToString() + " of the bases that it selects",
		remedy:   fmt.Sprintf("add to the template's tolerations: {key: %s, operator: Equal, value: %q, effect: %s}", t.Key, t.Value, t.Effect),
		evidence: p.evidence(),
	}
}

func allCordoned(_ *fleet.Snapshot, p placing) *found {
	if p.best() != shut {
		return nil
	}
	return &found{
		cause:    "the bases that the pod could go to are cordoned",
		remedy:   "kubectl uncordon " + p.bases[shut][0].Name,
		evidence: p.evidence(),
	}
}

func allDown(s *fleet.Snapshot, p placing) *found {
	if p.best() != down {
		return nil
	}
	b := p.bases[down][0]
	f := &found{
		cause:    "the bases that the pod could go to are not ready",
		remedy:   "kubectl modules why " + b.Name,
		evidence: p.evidence(),
	}
	if of := faults(Base(s, b)); len(of) > 0 {
		f.cause += "; of the first: " + of[0].Cause
		f.remedy = of[0].Remedy
		f.evidence = append(of[0].Evidence, f.evidence...)
	}
	return f
}

// faults are the findings that are faults.
func faults(all []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return f.Severity < Fault })
}

// resourceNames are what a VNode's resources are on a base.
var resourceNames = map[string]string{"memory": "metaspace (memory)", "cpu": "CPUs", "pods": "room for pods", "ephemeral-storage": "ephemeral storage"}

func noRoom(_ *fleet.Snapshot, p placing) *found {
	if p.best() != full {
		return nil
	}
	lacks := most(p.lacks)
	name := resourceNames[lacks]
	if name == "" {
		name = lacks
	}
	f := &found{
		cause:    "the bases that the pod could go to have not enough " + name + " left",
		remedy:   "add a base, lower the pod's requests, or take modules away",
		evidence: p.evidence(),
	}
	if lacks == string(corev1.ResourceMemory) {
		f.remedy += "; a larger -XX:MaxMetaspaceSize makes a base hold more"
	}
	if lacks == string(corev1.ResourcePods) {
		f.remedy += "; PODS_PER_NODE says how many a base may have"
	}
	return f
}

func noFreeBase(_ *fleet.Snapshot, p placing) *found {
	if p.best() != repelled {
		return nil
	}
	return &found{
		cause:    "the pod's anti-affinity leaves no base: each that it could go to has a pod that it must not meet, as " + most(p.meets),
		remedy:   "add a base or lower replicas to the number of bases. In a rolling update add matchLabelKeys: [pod-template-hash] to the anti-affinity, or set maxUnavailable above 0",
		evidence: p.evidence(),
	}
}

// notScheduled is what is left: the scheduler has not looked yet, or found what nobody here
// looks at.
func notScheduled(_ *fleet.Snapshot, p placing) *found {
	c := scheduled(p.pod)
	switch {
	case c == nil:
		return &found{
			cause:    "no scheduler has looked at the pod",
			remedy:   "see whether the scheduler " + p.pod.Spec.SchedulerName + " runs",
			evidence: append([]string{"the pod has no condition PodScheduled"}, p.evidence()...),
		}
	case c.Status == corev1.ConditionTrue:
		return nil
	}
	return &found{
		cause:    "the scheduler has not placed the pod: " + c.Message,
		remedy:   "as the scheduler's words say; it tries again when something changes",
		evidence: p.evidence(),
	}
}
