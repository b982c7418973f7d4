package plan

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// A VNode is in the zone of its base's machine. Where that is not known, in the one that a
// setting or somebody names, and else in none.
func TestTheZoneOfANode(t *testing.T) {
	const zone, region = corev1.LabelTopologyZone, corev1.LabelTopologyRegion
	for _, c := range []struct {
		name         string
		place        Place
		setting      string
		before       map[string]string
		zone, region string
	}{
		{name: "not known"},
		{name: "the machine's", place: Place{Zone: "a", Region: "r"}, zone: "a", region: "r"},
		{name: "the machine has a zone only", place: Place{Zone: "a"}, zone: "a"},
		{name: "the setting's", setting: zone + "=s," + region + "=r", zone: "s", region: "r"},
		{name: "the machine's before the setting's", place: Place{Zone: "a"}, setting: zone + "=s", zone: "a"},
		{name: "the base moved", place: Place{Zone: "a"}, before: map[string]string{zone: "b"}, zone: "a"},
		{name: "somebody's", before: map[string]string{zone: "b"}, zone: "b"},
		{name: "an owner that does not know it yet", before: map[string]string{zone: "a", region: "r"}, zone: "a", region: "r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := nodeInput()
			node := Node(in, nil)
			maps.Copy(node.Labels, c.before)
			in.Place, in.Config.Labels = c.place, c.setting
			if labels := Node(in, node).Labels; labels[zone] != c.zone || labels[region] != c.region {
				t.Errorf("zone %q, region %q", labels[zone], labels[region])
			}
		})
	}
}

// Labels of a setting are on each Node, beside those of others.
func TestLabelsOfASetting(t *testing.T) {
	in := nodeInput()
	in.Config.Labels = "team=blue,example.com/pool=jvm"
	labels := Node(in, nil).Labels
	if labels["team"] != "blue" || labels["example.com/pool"] != "jvm" || labels[LabelComponent] != ComponentVNode {
		t.Errorf("labels %v", labels)
	}
}

// An annotation of somebody that has the key of a label of ours stays, unless it is the one
// that has the base's word whole.
func TestAnnotationsOfOthersStay(t *testing.T) {
	in := nodeInput()
	in.Heartbeat.Version = "no label!"
	node := Node(in, nil)
	if node.Annotations[labelVersion] != "no label!" {
		t.Fatalf("annotations %v", node.Annotations)
	}
	others := []string{"type", corev1.LabelHostname, LabelComponent, labelStack, labelNoLB, labelNoDisruption, LabelPort, corev1.LabelTopologyZone}
	for _, key := range others {
		node.Annotations[key] = "theirs"
	}
	in.Heartbeat.Version = "1.0.0"
	next := Node(in, node)
	for _, key := range others {
		if next.Annotations[key] != "theirs" {
			t.Errorf("annotation %s is %q", key, next.Annotations[key])
		}
	}
	if _, still := next.Annotations[labelVersion]; still {
		t.Errorf("it has a word that is a label's value now: %v", next.Annotations)
	}
}

// Machines' DaemonSets ask for an operating system, and must not come here.
func TestANodeHasNoOperatingSystem(t *testing.T) {
	for key := range Node(nodeInput(), nil).Labels {
		if strings.HasSuffix(key, "/os") || strings.HasSuffix(key, "/arch") {
			t.Errorf("it has the label %s", key)
		}
	}
}

// The stack is the tunnel's word, that of Java where it has none, and is read back.
func TestTheStackIsTheTunnelsWord(t *testing.T) {
	for says, want := range map[string]string{"process": "process", tunnel.StackJava: "java", "": "java"} {
		in := nodeInput()
		in.Heartbeat.Stack = says
		node := Node(in, nil)
		if beat, _, err := Adopt(node); err != nil || node.Labels[labelStack] != want || beat.Stack != want {
			t.Errorf("%q: the label is %q, and %q is read back: %v", says, node.Labels[labelStack], beat.Stack, err)
		}
	}
}
