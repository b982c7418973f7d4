package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

func TestAdoptReadsBackWhatNodeWrote(t *testing.T) {
	in := nodeInput()
	in.Heartbeat.Base.Identity, in.Heartbeat.Name, in.Heartbeat.Port = "Base 1", "a name that is no label!", 1238
	in.Name, _ = NodeName(in.Heartbeat.Base)
	in.Installed = map[tunnel.ModuleKey]bool{{Name: "orders", Version: "1.0.0"}: true, {Name: "stock", Version: "2"}: true}
	beat, installed, err := Adopt(Node(in, nil))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in.Heartbeat, beat); d != "" {
		t.Errorf("base (-want +got):\n%s", d)
	}
	if d := cmp.Diff(in.Installed, installed); d != "" {
		t.Errorf("installed (-want +got):\n%s", d)
	}
	if _, _, err := Adopt(&corev1.Node{}); err == nil {
		t.Error("a Node of nobody was adopted")
	}
}
