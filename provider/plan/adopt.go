package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// maxInstalled bounds what a Lease tells of what is installed, in bytes. Of what is left out
// the pods tell that asked for it, unless they go while nobody serves the base.
const maxInstalled = 64 << 10

// LeaseNotes are the annotations of a base's Lease that tell who owns it next what this
// controller installed there. A Lease is written all the time, so they cost no write.
func LeaseNotes(installed map[tunnel.ModuleKey]bool) map[string]string {
	return map[string]string{annotationInst: installedText(installed)}
}

// Noted reads what LeaseNotes wrote; nil where nobody did, or only an earlier version, that
// told it by the Node.
func Noted(annotations map[string]string) map[tunnel.ModuleKey]bool {
	text, told := annotations[annotationInst]
	if !told {
		return nil
	}
	return installedKeys(text)
}

// installedText writes what is installed as an annotation's value: "name:version"
// sorted, separated by commas.
func installedText(installed map[tunnel.ModuleKey]bool) string {
	var text strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(installed), compareKeys) {
		entry := k.String()
		if text.Len()+len(entry) >= maxInstalled {
			break
		}
		if text.Len() > 0 {
			text.WriteByte(',')
		}
		text.WriteString(entry)
	}
	return text.String()
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

// Adopt reads what a Node tells of its base, so that a process which has just started can
// go on where another one stopped, and what it tells of the modules that this controller
// installed there, if an earlier version wrote it. It returns an error where the Node is
// not one of a base.
//
// Another controller writes one of the two families of labels, and not over which tunnel it
// reaches the base. The port tells: where there is none it can only be topics.
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
	beat := tunnel.Heartbeat{Base: id, Tunnel: exact(LabelTunnel), Stack: node.Labels[labelStack], Name: cmp.Or(exact(labelName), exact(LabelBaseName)),
		Version: cmp.Or(exact(labelVersion), exact(LabelBaseVersion)), Cluster: exact(LabelCluster), Hostname: exact(labelHostName),
		Sender: senderOf(node.Annotations[AnnotationBoundTo])}
	beat.Port, _ = strconv.Atoi(node.Labels[LabelPort]) // absent over MQTT: 0
	if beat.Tunnel == "" {
		beat.Tunnel = map[bool]string{true: TunnelOfTopics, false: TunnelOfPorts}[beat.Port == 0]
	}
	beat.IP = BaseAddress(node)
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
