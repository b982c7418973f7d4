package plan

import (
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// A kubelet's version is semantic, and its numbers are the API server's, whatever distribution
// it is of and whatever this build is called.
func TestKubeletVersion(t *testing.T) {
	for _, c := range []struct{ server, build, want string }{
		{"v1.37.2", "dev", "v1.37.2-module-controller-dev"},
		{"v1.37.2", "v0.3.0", "v1.37.2-module-controller-v0-3-0"},
		{"v1.37.2", "v0.3.0-5-gab12+dirty", "v1.37.2-module-controller-v0-3-0-5-gab12-dirty"},
		{"v1.30.2+k3s1", "0123", "v1.30.2-module-controller-0123"},
		{"v1.30.2-eks-8cce635", "é", "v1.30.2-module-controller--"},
		{"v1.34.0-rc.1", "x", "v1.34.0-module-controller-x"},
		{"1.31", "x", "v1.31.0-module-controller-x"},
		{"", "x", "v0.0.0-module-controller-x"},
		{"newest", "x", "v0.0.0-module-controller-x"},
	} {
		got := KubeletVersion(c.server, c.build)
		if got != c.want {
			t.Errorf("of %q and %q: %q, want %q", c.server, c.build, got, c.want)
		}
		if _, err := version.ParseSemantic(got); err != nil {
			t.Errorf("%q is not semantic: %v", got, err)
		}
	}
}

// A Node follows the API server's version with its five-minute write: all at once would be a
// herd at each upgrade, and while servers of two versions answer.
func TestANodeFollowsTheServersVersion(t *testing.T) {
	in := nodeInput()
	in.ServerVersion = "v1.36.1"
	node := Node(in, nil)
	in.ServerVersion, in.Now = "v1.37.0", noon.Add(time.Minute)
	if got := Node(in, node).Status.NodeInfo.KubeletVersion; got != "v1.36.1-module-controller-dev" {
		t.Errorf("at once it is %q", got)
	}
	in.Touch = true
	if got := Node(in, node).Status.NodeInfo.KubeletVersion; got != "v1.37.0-module-controller-dev" {
		t.Errorf("with the next write it is %q", got)
	}
	in.ServerVersion = ""
	if got := Node(in, node).Status.NodeInfo.KubeletVersion; got != "v1.36.1-module-controller-dev" {
		t.Errorf("not known, it is %q", got)
	}
	node.Status.NodeInfo.KubeletVersion = "dev" // an earlier release's
	if got := Node(in, node).Status.NodeInfo.KubeletVersion; got != "v0.0.0-module-controller-dev" {
		t.Errorf("never known, it is %q", got)
	}
}

// Nothing is shown as unknown, and nobody is sent to the machine's own kubelet.
func TestWhatANodeRunsOn(t *testing.T) {
	status := Node(nodeInput(), nil).Status
	info := reflect.ValueOf(status.NodeInfo)
	for _, field := range []string{"KernelVersion", "OSImage", "ContainerRuntimeVersion", "KubeletVersion", "OperatingSystem", "Architecture"} {
		if info.FieldByName(field).String() == "" {
			t.Errorf("%s is empty", field)
		}
	}
	if port := status.DaemonEndpoints.KubeletEndpoint.Port; port != noKubelet {
		t.Errorf("its kubelet is at port %d", port)
	}
}
