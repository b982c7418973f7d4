package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// installedText writes what is installed as an annotation's value: "name:version"
// sorted, separated by commas.
func installedText(installed map[tunnel.ModuleKey]bool) string {
	var entries []string
	for _, k := range slices.SortedFunc(maps.Keys(installed), compareKeys) {
		entries = append(entries, k.String())
	}
	return strings.Join(entries, ",")
}

// installedKeys reads what installedText wrote; entries it cannot read are left out.
func installedKeys(text string) map[tunnel.ModuleKey]bool {
	installed := map[tunnel.ModuleKey]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		name, version, _ := strings.Cut(entry, ":")
		if name != "" && version != "" {
			installed[tunnel.ModuleKey{Name: name, Version: version}] = true
		}
	}
	return installed
}

// Adopt reads what a Node tells of its base and of the modules that this
// controller installed there, so that a process which has just started can go on
// where another one stopped. It returns an error where the Node is not one of a
// base.
func Adopt(node *corev1.Node) (tunnel.Heartbeat, map[tunnel.ModuleKey]bool, error) {
	id, ok := BaseOf(node.Name)
	if !ok || node.Labels[LabelComponent] != ComponentVNode {
		return tunnel.Heartbeat{}, nil, fmt.Errorf("node %s is not a base's", node.Name)
	}
	exact := func(key string) string {
		if v, ok := node.Annotations[key]; ok {
			return v
		}
		return node.Labels[key]
	}
	beat := tunnel.Heartbeat{Base: id, Tunnel: exact(LabelTunnel), Name: exact(labelName),
		Version: exact(labelVersion), Cluster: exact(labelCluster), Hostname: exact(labelHostName),
		Sender: senderOf(node.Annotations[AnnotationBoundTo])}
	beat.Port, _ = strconv.Atoi(node.Labels[LabelPort]) // absent over MQTT: 0
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			beat.IP = a.Address
		}
	}
	return beat, installedKeys(node.Annotations[annotationInst]), nil
}

// NotReadyOf gives the reason for which a Node shows that it is not ready, and
// the empty string where it is ready.
func NotReadyOf(node *corev1.Node) string {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return c.Reason
		}
	}
	return ""
}
