package diagnose

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// Pod gives why a pod is not as it should be: the cause first, then what else is wrong. A
// pod with which nothing is wrong has no findings.
func Pod(s *fleet.Snapshot, pod *corev1.Pod) []Finding {
	if pod.Spec.NodeName == "" {
		return unplaced(s, pod)
	}
	if _, onBase := plan.BaseOf(pod.Spec.NodeName); !onBase {
		return basePod(s, pod)
	}
	is := bound{s, pod, s.Base(pod.Spec.NodeName)}
	if is.fine() && fleet.IsModule(pod) && (is.base == nil || is.base.NotReady() == "") {
		return nil
	}
	own := is.own()
	if len(own) > 0 && usersFault[own[0].Rule] {
		return own
	}
	above := is.above()
	if len(above) > 0 {
		return append(above, own...)
	}
	return own
}

// usersFault are the rules of what users can fix whatever the base does.
var usersFault = map[string]bool{"not-a-module": true, "node-missing": true, "pod-ended": true, "invalid-module": true}

// own is what is wrong with the pod itself: the first rule that finds something.
func (b bound) own() []Finding {
	for _, rule := range boundRules {
		if b.base == nil && rule.name != "node-missing" {
			continue // it is on no base that is known
		}
		if f := rule.find(b); f != nil {
			return []Finding{f.finding(rule.name, rule.doc, podObject(b.pod))}
		}
	}
	return nil
}

// stops are the rules of bases that find why nothing is done on a base, whatever its pods ask
// for.
var stops = map[string]bool{
	"foreign-lease": true, "environment-unserved": true, "base-unowned": true, "identity-conflict": true, "base-pod-deleted": true,
	"base-silent": true, "base-deaf": true, "node-not-ready": true,
}

// above is what is wrong with the base, or with its owner, that keeps it from doing anything.
// That another installation serves it by right is nothing wrong.
func (b bound) above() []Finding {
	if b.base == nil {
		return nil
	}
	all := slices.DeleteFunc(faults(Base(b.s, b.base)), func(f Finding) bool {
		return !stops[f.Rule] || f.Rule == "foreign-lease" && b.s.Elsewhere(b.base)
	})
	owner := b.s.Owner(b.base)
	if owner == nil || len(all) > 0 {
		return all
	}
	for _, f := range Members(b.s) {
		if f.Rule == "tunnel-down" && f.Object == memberObject(*owner) {
			all = append(all, f)
		}
	}
	return all
}

// unplaced is why a pod has no base.
func unplaced(s *fleet.Snapshot, pod *corev1.Pod) []Finding {
	if ended(pod) {
		return nil
	}
	at := place(s, pod)
	for _, rule := range waitingRules {
		if f := rule.find(s, at); f != nil {
			return []Finding{f.finding(rule.name, rule.doc, podObject(pod))}
		}
	}
	return nil
}

// checkRules are the rules of check that are in no table: what they ask about is one.
var checkRules = []string{"not-readable", "grace-too-short", "flowschema-missing", "rights-missing", "old-kubernetes", "installed-already", "no-answer", "base-unknown", "broker-unreached", "retained-commands"}

// RuleNames are the names of all rules, each once, in the order of the tables.
func RuleNames() (names []string) {
	for _, r := range memberRules {
		names = append(names, r.name)
	}
	for _, r := range baseRules {
		names = append(names, r.name)
	}
	for _, r := range waitingRules {
		names = append(names, r.name)
	}
	for _, r := range boundRules {
		names = append(names, r.name)
	}
	for _, r := range basePodRules {
		names = append(names, r.name)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(append(names, checkRules...), func(name string) bool {
		twice := seen[name]
		seen[name] = true
		return twice
	})
}
