package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	podresources "k8s.io/component-helpers/resource"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"module-controller/internal/fleet"
)

// fit is how far a pod comes at a base, as the scheduler would see it. Fits are ordered:
// what keeps a pod from the base where it comes furthest is the cause that it waits for.
type fit int

// The fits.
const (
	unselected  fit = iota // its selector or affinity does not match
	untolerated            // a taint is not tolerated
	shut                   // the Node is cordoned
	down                   // the Node is not ready
	full                   // not enough is left of something
	repelled               // a pod is there that it must not meet
	fits
)

// placing is how far a pod comes at each base.
type placing struct {
	pod   *corev1.Pod
	bases map[fit][]*fleet.Base
	// lacks is, of the bases that are full, what is lacking; taints are, of those whose
	// taints are not tolerated, which; meets are, of those that repel, the pods there.
	lacks  map[string]int
	taints map[corev1.Taint]int
	meets  map[string]int
}

// place finds how far a pod comes at each base that has a Node.
func place(s *fleet.Snapshot, pod *corev1.Pod) placing {
	p := placing{pod: pod, bases: map[fit][]*fleet.Base{}, lacks: map[string]int{}, taints: map[corev1.Taint]int{}, meets: map[string]int{}}
	required := nodeaffinity.GetRequiredNodeAffinity(pod)
	for _, b := range s.Bases {
		if b.Node != nil {
			is := p.at(s, b, required)
			p.bases[is] = append(p.bases[is], b)
		}
	}
	return p
}

func (p placing) at(s *fleet.Snapshot, b *fleet.Base, required nodeaffinity.RequiredNodeAffinity) fit {
	if ok, err := required.Match(b.Node); err != nil || !ok {
		return unselected
	}
	taint, tainted := scheduling.FindMatchingUntoleratedTaint(logr.Discard(), b.Node.Spec.Taints, p.pod.Spec.Tolerations, keepsAway, false)
	switch {
	case b.Node.Spec.Unschedulable && (!tainted || kubernetes(taint)):
		return shut
	case b.NotReady() != "":
		return down
	case tainted && taint.Key == corev1.TaintNodeMemoryPressure:
		p.lacks[string(corev1.ResourceMemory)]++
		return full
	case tainted && kubernetes(taint):
		return down
	case tainted:
		p.taints[corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: taint.Effect}]++
		return untolerated
	}
	if lacking := lacking(p.pod, b.Node, s.PodsOn(b.Name)); lacking != "" {
		p.lacks[lacking]++
		return full
	}
	if other := repels(p.pod, s.PodsOn(b.Name)); other != "" {
		p.meets[other]++
		return repelled
	}
	return fits
}

// keepsAway says of a taint that it keeps pods from being placed.
func keepsAway(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }

// kubernetes says of a taint that Kubernetes makes it of what a Node shows.
func kubernetes(t corev1.Taint) bool { return strings.HasPrefix(t.Key, "node.kubernetes.io/") }

// best is how far the pod comes anywhere.
func (p placing) best() fit {
	best := unselected
	for is := range p.bases {
		best = max(best, is)
	}
	return best
}

// lacking names what a Node has not enough of left for a pod; empty for nothing.
func lacking(pod *corev1.Pod, node *corev1.Node, there []*corev1.Pod) string {
	there = slices.DeleteFunc(slices.Clone(there), ended)
	if most := node.Status.Allocatable.Pods(); !most.IsZero() && int64(len(there)) >= most.Value() {
		return string(corev1.ResourcePods)
	}
	wants := podresources.PodRequests(pod, podresources.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		left := node.Status.Allocatable[name].DeepCopy()
		for _, other := range there {
			left.Sub(podresources.PodRequests(other, podresources.PodResourcesOptions{})[name])
		}
		if asks := wants[name]; !asks.IsZero() && asks.Cmp(left) > 0 {
			return string(name)
		}
	}
	return ""
}

// ended says of a pod that it takes up nothing any more.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// repels names a pod that must not be on one Node with another one, by either's anti-affinity;
// empty for none.
func repels(pod *corev1.Pod, there []*corev1.Pod) string {
	for _, other := range there {
		if !ended(other) && (avoids(pod, other) || avoids(other, pod)) {
			return other.Namespace + "/" + other.Name
		}
	}
	return ""
}

// avoids says whether a pod's required anti-affinity keeps it off another one's Node.
//
// NB: only terms by the Node itself are looked at, and no namespaceSelector: of what else
// the scheduler finds its own words tell.
func avoids(pod, other *corev1.Pod) bool {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	return slices.ContainsFunc(pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t corev1.PodAffinityTerm) bool {
		return t.TopologyKey == corev1.LabelHostname && selects(t, pod, other)
	})
}

// selects says whether a term of a pod selects another pod. The API server has merged
// matchLabelKeys into the selector.
func selects(t corev1.PodAffinityTerm, pod, other *corev1.Pod) bool {
	namespaces := t.Namespaces
	if len(namespaces) == 0 && t.NamespaceSelector == nil {
		namespaces = []string{pod.Namespace}
	}
	if !slices.Contains(namespaces, other.Namespace) {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(t.LabelSelector)
	return err == nil && selector.Matches(labels.Set(other.Labels))
}

// unmatched names the labels of a pod's nodeSelector that no base has, with what there is
// instead.
func unmatched(s *fleet.Snapshot, pod *corev1.Pod) (missing []string) {
	for _, key := range slices.Sorted(maps.Keys(pod.Spec.NodeSelector)) {
		wanted, there := pod.Spec.NodeSelector[key], map[string]bool{}
		for _, b := range s.Bases {
			if b.Node != nil {
				there[b.Node.Labels[key]] = true
			}
		}
		if there[wanted] {
			continue
		}
		delete(there, "")
		has := "no base has that label"
		if len(there) > 0 {
			has = "bases have " + some(slices.Sorted(maps.Keys(there)))
		}
		missing = append(missing, fmt.Sprintf("%s=%s (%s)", key, wanted, has))
	}
	return missing
}

// evidence tells for each fit how many bases there are.
func (p placing) evidence() (lines []string) {
	says := [...]string{"do not match its node selector or affinity", "have a taint that it does not tolerate", "are cordoned", "are not ready",
		"have not enough left", "have a pod that it must not meet", "fit"}
	for _, is := range slices.Sorted(maps.Keys(p.bases)) {
		var names []string
		for _, b := range p.bases[is] {
			names = append(names, b.ID.Identity)
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", count(len(names), "base", "bases"), says[is], some(names)))
	}
	if c := scheduled(p.pod); c != nil && c.Message != "" {
		lines = append(lines, quote("the scheduler", c.Message))
	}
	return lines
}

// scheduled is what the scheduler says of a pod; nil for nothing.
func scheduled(pod *corev1.Pod) *corev1.PodCondition {
	for i, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// most gives the key of a count that counts most.
func most[K cmp.Ordered](counts map[K]int) (of K) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if counts[k] > counts[of] {
			of = k
		}
	}
	return of
}
