package plan

import (
	"maps"
	"net/url"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// Reasons of a Node's Ready condition. They are stable: users match on them.
const (
	ReasonBaseAlive        = "BaseAlive"
	ReasonBaseSilent       = "BaseSilent"           // nothing was heard for too long
	ReasonBaseNotAnswering = "BaseNotAnswering"     // it is heard, but answers no command
	ReasonIdentityConflict = "BaseIdentityConflict" // two live bases have this identity
	ReasonBasePodDeleted   = "BasePodDeleted"       // the Pod in which it runs is being deleted, or is gone
)

// Reasons of a Node's other conditions. They are stable: users match on them.
const (
	ReasonInsufficientMetaspace = "BaseHasInsufficientMetaspace" // MemoryPressure: hardly any is left
	ReasonSufficientMetaspace   = "BaseHasSufficientMetaspace"
	ReasonNotMeasured           = "NotMeasured"
)

// Reasons of Events on a Node. They are stable: users match on them.
const (
	ReasonBaseContested   = "BaseContested"       // somebody else says that it is this base
	ReasonBaseMoved       = "BaseMoved"           // the base is followed at another place
	ReasonCapacityClipped = "BaseCapacityClipped" // it claims more than it is believed to have
	ReasonUnmanaged       = "UnmanagedModule"     // a module is installed that no pod asks for
)

// NodeInput is all that is known of one base's Node.
type NodeInput struct {
	Now       time.Time
	Name      string
	Heartbeat tunnel.Heartbeat
	// Health is nil until the base told it.
	Health *tunnel.Health
	// NotReady is the reason why the base does not count as ready; empty when it
	// does. Message explains either.
	NotReady, Message string
	// Loaded is the memory, in bytes, that pods request for modules that Health counts:
	// it is in the base's used metaspace and in the scheduler's sum.
	Loaded int64
	// Place is where the base runs.
	Place Place
	// ServerVersion is the API server's, as "v1.37.2"; empty while it is not known.
	ServerVersion string
	// Kubelet is where the kubelet's API of the Node is served.
	Kubelet Endpoint
	// Noted: the base's Lease tells what is installed on it, so the Node need not, as it did
	// when an earlier version wrote it.
	Noted bool
	// Touch asks for new heartbeat times although nothing differs.
	Touch bool
	// Undescribed leaves on the Node what the base says of itself; the conditions, and where
	// its kubelet is, follow all the same.
	Undescribed bool
	Config      NodeConfig
}

// Node gives the Node as it should be. Current is the Node as it is, nil where
// there is none; it is not changed. What others wrote on it (labels, annotations,
// taints, conditions, unschedulable) stays. Where nothing differs the result
// equals current.
func Node(in NodeInput, current *corev1.Node) *corev1.Node {
	in.Config = in.Config.Complete()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: in.Name}}
	if current != nil {
		node = current.DeepCopy()
	}
	if !in.Undescribed {
		describe(in, node)
		setResources(in, node)
	}
	if !in.Undescribed || KubeletOf(node) != in.Kubelet {
		setAddresses(in, node)
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	if in.Noted {
		delete(node.Annotations, annotationInst)
	}
	setTaints(in.Heartbeat.Base.Env, node)
	node.Spec.ProviderID = "koupleless://" + in.Heartbeat.Base.Env + "/" + url.PathEscape(in.Heartbeat.Base.Identity)
	if current != nil && current.Spec.ProviderID != "" {
		node.Spec.ProviderID = current.Spec.ProviderID // it cannot be changed
	}
	setNodeInfo(in, node)
	setConditions(in, node)
	if current == nil || in.Touch { // one that an earlier version made gets it with a write that is due anyway
		node.Status.Phase = nodePhase
	}
	return node
}

// nodePhase is what module-controller v2.2.0 writes on each Node, and by which it counts those
// of a peer Deployment: see docs/moving.md. Kubernetes keeps the field, which is deprecated,
// and looks at it nowhere.
const nodePhase = corev1.NodeRunning

// SameDescription says whether two states of a Node differ in nothing that a base says of
// itself.
func SameDescription(a, b *corev1.Node) bool {
	of := func(n *corev1.Node) *corev1.Node {
		d := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: n.Labels, Annotations: maps.Clone(n.Annotations)}, Status: corev1.NodeStatus{
			Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable, Addresses: n.Status.Addresses,
		}}
		delete(d.Annotations, annotationInst)
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeMemoryPressure {
				d.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status, Reason: c.Reason}}
			}
		}
		return d
	}
	return equality.Semantic.DeepEqual(of(a), of(b))
}

func setTaints(env string, node *corev1.Node) {
	value, _ := labelValue(env)
	for _, want := range []corev1.Taint{
		{Key: TaintVNode, Value: "True", Effect: corev1.TaintEffectNoExecute},
		{Key: TaintEnv, Value: value, Effect: corev1.TaintEffectNoExecute},
	} {
		i := slices.IndexFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&want) })
		if i < 0 {
			node.Spec.Taints = append(node.Spec.Taints, want)
		} else {
			node.Spec.Taints[i].Value = want.Value
		}
	}
}

func setConditions(in NodeInput, node *corev1.Node) {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: ReasonBaseAlive, Message: in.Message}
	if in.NotReady != "" {
		ready.Status, ready.Reason = corev1.ConditionFalse, in.NotReady
	}
	no := func(t corev1.NodeConditionType, what string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: ReasonNotMeasured, Message: what}
	}
	for _, c := range []corev1.NodeCondition{
		ready,
		pressureShown(in, node),
		no(corev1.NodeDiskPressure, "A base's disk is not measured"),
		no(corev1.NodePIDPressure, "A base's threads are not measured"),
	} {
		setCondition(in, node, c)
	}
}

// pressureShown is the MemoryPressure that a Node shows. As all that a base says of itself it
// stays until it is told anew, and changes at the pace of a description.
func pressureShown(in NodeInput, node *corev1.Node) corev1.NodeCondition {
	i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeMemoryPressure })
	if stays := in.Undescribed || in.Health == nil; stays && i >= 0 {
		return node.Status.Conditions[i]
	}
	return memoryPressure(in, node)
}

func setCondition(in NodeInput, node *corev1.Node, want corev1.NodeCondition) {
	now := metav1.NewTime(in.Now.Truncate(time.Second))
	want.LastHeartbeatTime, want.LastTransitionTime = now, now
	i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == want.Type })
	if i < 0 {
		node.Status.Conditions = append(node.Status.Conditions, want)
		return
	}
	was := &node.Status.Conditions[i]
	same := was.Status == want.Status && was.Reason == want.Reason && was.Message == want.Message
	if was.Status == want.Status {
		want.LastTransitionTime = was.LastTransitionTime
	}
	if !same || in.Touch {
		*was = want
	}
}
