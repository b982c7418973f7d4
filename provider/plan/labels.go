package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"module-controller/tunnel"
)

// Labels, annotations and taints of a VNode. Two families of labels say the same,
// because selectors in the field use either.
const (
	LabelEnv         = "virtual-kubelet.koupleless.io/env"
	LabelTunnel      = "vnode.koupleless.io/tunnel"
	labelStack       = "base.koupleless.io/stack"
	labelName        = "vnode.koupleless.io/name"
	labelVersion     = "vnode.koupleless.io/version"
	LabelBaseName    = "base.koupleless.io/name"
	LabelBaseVersion = "base.koupleless.io/version"
	LabelCluster     = "base.koupleless.io/cluster-name"
	labelHostName    = "base.koupleless.io/host-name"
	LabelPort        = "base.koupleless.io/tunnel-port"
	labelNoLB        = corev1.LabelNodeExcludeBalancers
	// labelNoDisruption keeps the Node out of the node lifecycle controller's count by which
	// it takes a zone for disrupted: a rollout of bases is no outage of machines.
	labelNoDisruption = "node.kubernetes.io/exclude-disruption"
	// TaintVNode and TaintEnv are those of each VNode; the latter's value is its environment.
	TaintVNode     = "schedule.koupleless.io/virtual-node"
	TaintEnv       = "schedule.koupleless.io/node-env"
	annotationInst = "virtual-kubelet.koupleless.io/installed-modules" // on a base's Lease; of earlier versions on its Node
	// AnnotationMachine is the name of the Node on which the base's Pod runs.
	AnnotationMachine = "base.koupleless.io/node"
	// AnnotationBoundTo names on a Node the workload that its base's identity was proved
	// to be; boundByTunnel where what was proved names none.
	AnnotationBoundTo = "base.koupleless.io/bound-to"
	boundByTunnel     = "tunnel"
	// TunnelOfTopics is the tunnel of a base whose Node another controller wrote, which reaches
	// it by topics, TunnelOfPorts of one that it dials: the Names of mqtttunnel and httptunnel.
	TunnelOfTopics = "mqtt_tunnel_provider"
	TunnelOfPorts  = "http_tunnel_provider"
)

// words are the labels that hold what a base says of itself. Where such a word is no label's
// value, an annotation of the same key has it whole.
func words(beat tunnel.Heartbeat) map[string]string {
	return map[string]string{
		LabelEnv: beat.Base.Env, LabelTunnel: beat.Tunnel,
		labelName: beat.Name, labelVersion: beat.Version,
		LabelBaseName: beat.Name, LabelBaseVersion: beat.Version,
		LabelCluster: beat.Cluster, labelHostName: beat.Hostname,
	}
}

// fixed are the labels that each VNode of the name and stack has. There are none of an operating system
// or architecture: DaemonSets of machines ask for them, and cannot run in a base.
func fixed(name, stack string) map[string]string {
	host, _ := labelValue(name)
	stack, _ = labelValue(cmp.Or(stack, tunnel.StackJava))
	return map[string]string{
		LabelComponent: ComponentVNode, labelStack: stack, "type": "virtual-kubelet",
		labelNoLB: "true", labelNoDisruption: "true", corev1.LabelHostname: host,
	}
}

// describe sets our labels and annotations and takes away those that no longer
// apply; it touches no other.
func describe(in NodeInput, node *corev1.Node) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	maps.Copy(node.Labels, fixed(in.Name, in.Heartbeat.Stack))
	maps.Copy(node.Labels, in.Config.labels())
	for key, exact := range words(in.Heartbeat) {
		value, safe := labelValue(exact)
		setOrDelete(node.Labels, key, value)
		if safe {
			exact = ""
		}
		setOrDelete(node.Annotations, key, exact)
	}
	port := ""
	if in.Heartbeat.Port > 0 {
		port = strconv.Itoa(in.Heartbeat.Port)
	}
	setOrDelete(node.Labels, LabelPort, port)
	setTopology(in.Place, node)
	setMachine(in.Place, node)
	setOrDelete(node.Annotations, AnnotationBoundTo, boundTo(in.Heartbeat.Sender))
}

// setTopology puts a VNode into the zone of the machine that its base runs on. Where that is
// not known, what the Node shows stays: a setting's, or somebody's. It gets no zone of its own:
// topology-aware routing would keep a share of all endpoints for it, which nobody there asks.
func setTopology(at Place, node *corev1.Node) {
	for key, value := range map[string]string{corev1.LabelTopologyZone: at.Zone, corev1.LabelTopologyRegion: at.Region} {
		if value != "" {
			node.Labels[key] = value
		}
	}
}

// setMachine says on which Node of the cluster a VNode's base runs. Where that is not known,
// what the Node shows stays.
func setMachine(at Place, node *corev1.Node) {
	if at.Machine != "" {
		node.Annotations[AnnotationMachine] = at.Machine
	}
}

// labels are those of the setting; none where it cannot be read, which Validate tells.
func (c NodeConfig) labels() labels.Set {
	set, err := labels.ConvertSelectorToLabelsMap(c.Labels)
	if err != nil {
		return nil
	}
	return set
}

// checkLabels says what is wrong with the setting of labels.
func (c NodeConfig) checkLabels() error {
	set, err := labels.ConvertSelectorToLabelsMap(c.Labels)
	if err != nil {
		return fmt.Errorf("VNODE_LABELS must be key=value pairs, separated by commas: %w", err)
	}
	ours := fixed("", "")
	maps.Copy(ours, words(tunnel.Heartbeat{}))
	ours[LabelPort] = ""
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if _, is := ours[key]; is {
			return fmt.Errorf("VNODE_LABELS must not have %s, which is set already", key)
		}
	}
	return nil
}

// LeaseLabels are the labels by which a base's Lease is found: the tunnel and the
// base's name, as on its Node.
func LeaseLabels(beat tunnel.Heartbeat) map[string]string {
	labels := map[string]string{}
	for key, exact := range map[string]string{LabelTunnel: beat.Tunnel, labelName: beat.Name} {
		value, _ := labelValue(exact)
		setOrDelete(labels, key, value)
	}
	return labels
}

func setOrDelete(m map[string]string, key, value string) {
	if value == "" {
		delete(m, key)
	} else {
		m[key] = value
	}
}
