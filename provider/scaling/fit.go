package scaling

import (
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"module-controller/provider/plan"
)

// Labels of a peer Deployment.
const (
	ComponentDeployment = "module-deployment" // of plan.LabelComponent
	LabelStrategy       = "virtual-kubelet.koupleless.io/strategy"
	StrategyPeer        = "peer"
	// LabelReplicasControl is "true" where somebody else says how many replicas there are.
	LabelReplicasControl = "virtual-kubelet.koupleless.io/replicas-control"
)

// Selector selects peer Deployments, those too that are let alone.
const Selector = plan.LabelComponent + "=" + ComponentDeployment + "," + LabelStrategy + "=" + StrategyPeer

// LetAlone says whether a Deployment's replicas are not this program's to set.
func LetAlone(d *appsv1.Deployment) bool {
	return d.Labels[LabelReplicasControl] == "true" || d.DeletionTimestamp != nil
}

// Count counts the Ready VNodes that the pods of a Deployment may run on. Has says whether
// a Node has one of its pods; kept is how many count only for that. It returns an error
// where the Deployment's affinity cannot be read: then nothing is known.
func Count(d *appsv1.Deployment, nodes []*corev1.Node, has func(node string) bool) (n, kept int, err error) {
	spec := d.Spec.Template.Spec
	required := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)
	for _, node := range nodes {
		if !serves(node) || !named(d, node) {
			continue
		}
		fits, err := required.Match(node)
		switch {
		case err != nil:
			return 0, 0, fmt.Errorf("read node affinity of deployment %s/%s: %w", d.Namespace, d.Name, err)
		case !fits:
		case !shut(node, spec.Tolerations):
			n++
		case has(node.Name):
			n, kept = n+1, kept+1
		}
	}
	return n, kept, nil
}

// serves says whether a Node is Ready and is to stay.
func serves(node *corev1.Node) bool { return node.DeletionTimestamp == nil && Ready(node) }

// Ready says whether a Node is Ready.
func Ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// named says whether a Node is of the environment and the cluster that a Deployment's own
// labels name.
func named(d *appsv1.Deployment, node *corev1.Node) bool {
	for _, label := range []string{plan.LabelEnv, plan.LabelCluster} {
		if want := d.Labels[label]; want != "" && node.Labels[label] != want {
			return false
		}
	}
	return true
}

// shut says whether a Node takes no new pod with these tolerations, for being cordoned or
// for a taint. Whether it is Ready is not told by its taints here, which come later.
func shut(node *corev1.Node, tolerations []corev1.Toleration) bool {
	taints := node.Spec.Taints
	if node.Spec.Unschedulable {
		taints = append(slices.Clip(taints), corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	_, shut := scheduling.FindMatchingUntoleratedTaint(logr.Discard(), taints, tolerations, keepsAway, false)
	return shut
}

// keepsAway says of a taint that it keeps pods away for another reason than that the Node
// was not Ready.
func keepsAway(t *corev1.Taint) bool {
	switch {
	case t.Effect == corev1.TaintEffectPreferNoSchedule:
		return false
	case t.Key == corev1.TaintNodeNotReady, t.Key == corev1.TaintNodeUnreachable:
		return false
	}
	return true
}
