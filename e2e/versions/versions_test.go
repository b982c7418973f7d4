package versions

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/agent"
	"module-controller/e2e/harness"
	"module-controller/e2e/history"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

const (
	set = "statefulset/" + harness.Namespace
	// unbuilt is the image in the manifests; before and now stand for it in the two versions.
	unbuilt = "module-controller:none"
	before  = "module-controller:before"
	now     = "module-controller:now"
	// nameOfNow is what a program says that was built without a version.
	nameOfNow = "dev"

	prefix = "virtual-kubelet.koupleless.io/"
)

// withMachine starts a Node that runs the replicas of both versions.
func withMachine(w *world.World, old Version) *agent.Agent {
	w.Helper()
	a, err := agent.Start(w.Context(), agent.Options{
		Client: cluster.Client, Config: cluster.Plane.Config(), NodeName: "machine", Dir: w.Dir,
		Images: map[string]string{before: old.Program, now: cluster.Bin.Controller},
		Ports:  harness.PodPorts, Env: w.PodSettings(),
	})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(a.Stop())
		for n := range replicas {
			w.CheckReplicaLog(a.Log(world.ReplicaName(n)))
		}
	})
	return a
}

// apply applies manifests with an image, as an overlay does.
func apply(w *world.World, manifests, image string) {
	w.Helper()
	text, err := cluster.Plane.Kubectl(w.Context(), "kustomize", manifests)
	w.Must(err)
	if !strings.Contains(text, "image: "+unbuilt) {
		w.Fatalf("the manifests in %s have no image %s", manifests, unbuilt)
	}
	_, tag, _ := strings.Cut(image, ":")
	w.Kubectl("apply", "-f", w.File(tag+".yaml", strings.ReplaceAll(text, unbuilt, image)))
}

// upgrade applies the manifests and the image of this version, as docs/upgrading.md says.
func upgrade(w *world.World, old Version) {
	w.Helper()
	manifest, err := os.ReadFile(old.Manifests + "/statefulset.yaml")
	w.Must(err)
	if strings.Contains(string(manifest), "\n  replicas:") { // see docs/installation.md
		w.Kubectl("annotate", "-n", harness.Namespace, set, "kubectl.kubernetes.io/last-applied-configuration-")
	}
	apply(w, harness.Manifest(""), now)
}

// awaitRollout waits until all replicas are of the version that was asked for, and ready.
func awaitRollout(w *world.World) {
	w.Helper()
	w.Kubectl("-n", harness.Namespace, "rollout", "status", set, "--timeout=90s")
}

// newerFormat leaves the membership Lease of a version which this one cannot come after, as
// a replica does that has ended.
func newerFormat(w *world.World) (name string) {
	w.Helper()
	name = "module-controller-9"
	nobody := ""
	_, err := w.MemberLeases().Create(w.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{prefix + "component": "module-controller"}, Annotations: map[string]string{
			prefix + "state": "released", prefix + "version": "v9", prefix + "format": "9", prefix + "oldest-format": "9",
		}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &nobody},
	}, metav1.CreateOptions{})
	w.Must(err)
	return name
}

// awaitRefusal waits until the first replica of this version says that it does not join, and
// checks that the rollout stands: the others are the pods that they were, and own all.
func awaitRefusal(w *world.World, a *agent.Agent, lease string, bases int) {
	w.Helper()
	first, others := replicas-1, w.Members()
	w.Eventually(world.Timeout, func() error {
		text, err := os.ReadFile(a.Log(world.ReplicaName(first)))
		if err == nil && !strings.Contains(string(text), `"msg":"not joining members of another format"`) {
			err = fmt.Errorf("replica %d does not say that it waits", first)
		}
		return err
	})
	pod, err := cluster.Client.CoreV1().Pods(harness.Namespace).Get(w.Context(), world.ReplicaName(first), metav1.GetOptions{})
	w.Must(err)
	if world.PodReady(*pod) {
		w.Errorf("%s is Ready beside a Lease of a newer format", pod.Name)
	}
	w.AwaitOwned(history.Takeover, bases, others[world.ReplicaName(first)])
	for n := range first {
		if name := world.ReplicaName(n); w.Members()[name] != others[name] {
			w.Errorf("%s was replaced, although the rollout should stand", name)
		}
	}
	w.Must(w.MemberLeases().Delete(w.Context(), lease, metav1.DeleteOptions{}))
}

// checkFormats checks that the members say of which version they are, and what they write.
func checkFormats(w *world.World) {
	w.Helper()
	list, err := w.MemberLeases().List(w.Context(), metav1.ListOptions{})
	w.Must(err)
	for _, l := range list.Items {
		is := [3]string{l.Annotations[prefix+"version"], l.Annotations[prefix+"format"], l.Annotations[prefix+"oldest-format"]}
		if want := [3]string{nameOfNow, "1", "1"}; is != want {
			w.Errorf("%s says %q of its version and formats, want %q", l.Name, is, want)
		}
	}
}

const replicas = 3

// Replicas of the version before, with a fleet and a load, are replaced by this version one
// by one, and then by the version before again. Bases have owners of both versions at a time,
// nobody notices, and a version that may not come after what it finds stops the rollout.
func TestTheVersionBeforeBesideThisOne(t *testing.T) {
	const bases, loaders = 30, 4
	old, err := Previous(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	w := cluster.New(t).WithBroker().WithService()
	w.WithFleet(bases, w.OverHTTP(bases)...)
	a := withMachine(w, old)
	apply(w, old.Manifests, before)
	w.Cleanup(func() { // while there is a machine that ends its pods
		ctx, cancel := context.WithTimeout(context.Background(), world.Timeout)
		defer cancel()
		if _, err := cluster.Plane.Kubectl(ctx, "-n", harness.Namespace, "delete", set, "--wait", "--cascade=foreground"); err != nil {
			t.Error(err)
		}
	})
	w.Kubectl("-n", harness.Namespace, "scale", set, fmt.Sprint("--replicas=", replicas))
	awaitRollout(w)
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
	w.AwaitPodsReady("app=stock", bases)
	w.AwaitBalanced(replicas, bases)
	ready := world.ReadySince(w.Pods("app=stock"))
	w.Recorder = w.Record()
	stop := w.Recorder.Load(loaders, bases, w.Errorf)
	w.Cleanup(stop)

	newer := newerFormat(w)
	upgrade(w, old)
	awaitRefusal(w, a, newer, bases)
	awaitRollout(w)
	w.AwaitBalanced(replicas, bases)
	checkFormats(w)

	w.Kubectl("-n", harness.Namespace, "rollout", "undo", set)
	awaitRollout(w)
	w.AwaitBalanced(replicas, bases)
	stop()
	w.AwaitListed()
	if is := world.ReadySince(w.Pods("app=stock")); !maps.Equal(is, ready) {
		t.Errorf("pods are Ready since %v, were since %v", is, ready)
	}
	judge(w, w.Recorder.History(), old, bases)
}

// judge checks that a history has both versions side by side, and that nobody noticed.
func judge(w *world.World, h *history.History, old Version, bases int) {
	w.Helper()
	violations, report := h.Check()
	for _, v := range violations {
		w.Error(v)
	}
	w.Logf("%s; claims by version %v", report, h.HeldBy())
	if report.Unowned > history.Takeover {
		w.Errorf("a base had no owner for %s, more than %s", report.Unowned, history.Takeover)
	}
	together := [][]string{{old.Name}, {old.Name, nameOfNow}, {nameOfNow}}
	slices.Sort(together[1])
	if d := cmp.Diff(together, h.Together()); d != "" {
		w.Errorf("versions at a time (-want +got):\n%s", d)
	}
	if held := h.HeldBy(); held[nameOfNow] < bases || held[old.Name] < 2*bases {
		w.Errorf("claims by version are %v, want %d of this one and %d of the one before at least", held, bases, 2*bases)
	}
}
