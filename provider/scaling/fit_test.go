package scaling

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
)

// aNode is a VNode of a cluster that is Ready, as this program makes it.
func aNode(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			plan.LabelComponent: plan.ComponentVNode, plan.LabelEnv: "dev", plan.LabelCluster: "blue", "zone": "a",
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: plan.TaintVNode, Value: "True", Effect: corev1.TaintEffectNoExecute},
			{Key: plan.TaintEnv, Value: "dev", Effect: corev1.TaintEffectNoExecute},
		}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(n)
	}
	return n
}

// aDeployment is a peer Deployment whose pods may run on all VNodes of the environment.
func aDeployment(change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", Labels: map[string]string{}}}
	d.Spec.Template.Spec.Tolerations = []corev1.Toleration{
		{Key: plan.TaintVNode, Operator: corev1.TolerationOpExists}, {Key: plan.TaintEnv, Value: "dev", Operator: corev1.TolerationOpEqual},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

// inCluster has pods run in one cluster only, by their node affinity.
func inCluster(name string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: plan.LabelCluster, Operator: corev1.NodeSelectorOpIn, Values: []string{name}},
			}}},
		}}}
	}
}

func cordoned(n *corev1.Node) { n.Spec.Unschedulable = true }

func tainted(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func labelled(key, value string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Labels[key] = value }
}

// One VNode counts or does not, with and without a pod that it has.
func TestWhichVNodesCount(t *testing.T) {
	notReady := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	leaving := func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{} }
	intolerant := func(d *appsv1.Deployment) { d.Spec.Template.Spec.Tolerations = nil }
	inZone := func(d *appsv1.Deployment) { d.Spec.Template.Spec.NodeSelector = map[string]string{"zone": "b"} }
	tolerates := func(key string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Tolerations = append(d.Spec.Template.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists})
		}
	}
	for name, c := range map[string]struct {
		node        *corev1.Node
		of          *appsv1.Deployment
		empty, with int // how many count where it has no pod, and where it has one
	}{
		"Ready":                                   {aNode("a"), aDeployment(), 1, 1},
		"NotReady":                                {aNode("a", notReady), aDeployment(), 0, 0},
		"is deleted":                              {aNode("a", leaving), aDeployment(), 0, 0},
		"of its cluster":                          {aNode("a"), aDeployment(inCluster("blue")), 1, 1},
		"of another cluster":                      {aNode("a"), aDeployment(inCluster("green")), 0, 0},
		"of another cluster, by its own label":    {aNode("a"), aDeployment(labelled(plan.LabelCluster, "green")), 0, 0},
		"of its environment, by its own label":    {aNode("a"), aDeployment(labelled(plan.LabelEnv, "dev")), 1, 1},
		"of another environment":                  {aNode("a"), aDeployment(labelled(plan.LabelEnv, "prod")), 0, 0},
		"not selected":                            {aNode("a"), aDeployment(inZone), 0, 0},
		"its taints are not tolerated":            {aNode("a"), aDeployment(intolerant), 0, 1},
		"cordoned":                                {aNode("a", cordoned), aDeployment(), 0, 1},
		"cordoned, which is tolerated":            {aNode("a", cordoned), aDeployment(tolerates(corev1.TaintNodeUnschedulable)), 1, 1},
		"tainted":                                 {aNode("a", tainted("repair", corev1.TaintEffectNoSchedule)), aDeployment(), 0, 1},
		"tainted, which is tolerated":             {aNode("a", tainted("repair", corev1.TaintEffectNoSchedule)), aDeployment(tolerates("repair")), 1, 1},
		"better not":                              {aNode("a", tainted("repair", corev1.TaintEffectPreferNoSchedule)), aDeployment(), 1, 1},
		"Ready again, its taint is not gone yet":  {aNode("a", tainted(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute)), aDeployment(), 1, 1},
		"reached again, its taint is not gone":    {aNode("a", tainted(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)), aDeployment(), 1, 1},
		"of another cluster, although it has one": {aNode("a", cordoned), aDeployment(inCluster("green")), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for has, want := range map[bool]int{false: c.empty, true: c.with} {
				n, kept, err := Count(c.of, []*corev1.Node{c.node}, func(string) bool { return has })
				if err != nil || n != want || kept != max(0, want-c.empty) {
					t.Errorf("has a pod: %t: %d count, %d of them for it (%v), want %d", has, n, kept, err, want)
				}
			}
		})
	}
}

// Of an affinity that cannot be read nothing follows, least of all that no base counts.
func TestAnAffinityThatCannotBeRead(t *testing.T) {
	d := aDeployment(inCluster("not a label's value"))
	if n, _, err := Count(d, []*corev1.Node{aNode("a")}, func(string) bool { return false }); err == nil {
		t.Errorf("%d VNodes count", n)
	}
}

func TestWhichDeploymentsAreLetAlone(t *testing.T) {
	for want, all := range map[bool][]*appsv1.Deployment{
		true:  {aDeployment(labelled(LabelReplicasControl, "true")), aDeployment(func(d *appsv1.Deployment) { d.DeletionTimestamp = &metav1.Time{} })},
		false: {aDeployment(), aDeployment(labelled(LabelReplicasControl, "false"))},
	} {
		for i, d := range all {
			if LetAlone(d) != want {
				t.Errorf("%d: let alone: %t, want %t", i, !want, want)
			}
		}
	}
}
