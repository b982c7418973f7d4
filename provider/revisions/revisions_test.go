package revisions

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	_ "module-controller/internal/oneproc" // tests in bubbles
	"module-controller/provider/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is an API server in memory, and the room that watches it.
type cluster struct {
	*Revisions
	t        *testing.T
	client   *fake.Clientset
	metadata *metadatafake.FakeMetadataClient
	logs     *observer.ObservedLogs

	mu sync.Mutex
	// mu guards what follows
	denies bool
	woken  []string
}

// watching runs the room until the test ends. It must be called in a bubble.
func watching(t *testing.T, denies bool) *cluster {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	c := &cluster{t: t, client: fake.NewClientset(), metadata: metadatafake.NewSimpleMetadataClient(scheme), logs: logs, denies: denies}
	c.client.PrependReactor("*", "controllerrevisions", c.deny)
	c.client.PrependWatchReactor("controllerrevisions", c.denyWatch)
	c.metadata.PrependReactor("*", "replicasets", c.deny)
	c.metadata.PrependWatchReactor("replicasets", c.denyWatch)
	var err error
	c.Revisions, err = New(Deps{Client: c.client, Metadata: c.metadata, Log: zap.New(core), Wake: c.wakes})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		end()
		run.Wait()
	})
	synctest.Wait()
	return c
}

func (c *cluster) wakes(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = append(c.woken, node)
}

// wokenNow gives the Nodes that were woken since it was asked last.
func (c *cluster) wokenNow() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	woken := c.woken
	c.woken = nil
	slices.Sort(woken)
	return slices.Compact(woken)
}

func (c *cluster) permits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denies = false
}

// deny refuses objects of others where it is to refuse, but not what the test itself does.
func (c *cluster) deny(a clienttesting.Action) (bool, runtime.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.denies && a.GetVerb() == "list" {
		return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", fmt.Errorf("no"))
	}
	return false, nil, nil
}

func (c *cluster) denyWatch(a clienttesting.Action) (bool, watch.Interface, error) {
	_, _, err := c.deny(clienttesting.NewListAction(a.GetResource(), schema.GroupVersionKind{}, a.GetNamespace(), metav1.ListOptions{}))
	return err != nil, nil, err
}

// sets makes a ReplicaSet be as given.
func (c *cluster) sets(set *metav1.PartialObjectMetadata) {
	c.t.Helper()
	r := c.metadata.Resource(appsv1.SchemeGroupVersion.WithResource("replicasets")).Namespace(set.Namespace).(metadatafake.MetadataClient)
	_, err := r.UpdateFake(set, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = r.CreateFake(set, metav1.CreateOptions{})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// snapshots makes a ControllerRevision be as given.
func (c *cluster) snapshots(revision *appsv1.ControllerRevision) {
	c.t.Helper()
	r := c.client.AppsV1().ControllerRevisions(revision.Namespace)
	_, err := r.Update(c.t.Context(), revision, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = r.Create(c.t.Context(), revision, metav1.CreateOptions{})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// known is what is known of a pod.
type known struct {
	workload types.UID
	revision int64
	unsynced bool
}

// of asks for a pod on a Node.
func (c *cluster) of(node string, pod *corev1.Pod) known {
	pods := []plan.Pod{{Pod: pod}}
	c.Fill(node, pods, time.Now())
	return known{pods[0].Workload, pods[0].Revision, pods[0].Unsynced}
}

func (c *cluster) wants(pod *corev1.Pod, want known) {
	c.t.Helper()
	if got := c.of("a", pod); got != want {
		c.t.Errorf("pod %s: %+v, want %+v", pod.Name, got, want)
	}
}

func moduleLabels(more map[string]string) map[string]string {
	labels := map[string]string{plan.LabelComponent: plan.ComponentModule}
	maps.Copy(labels, more)
	return labels
}

// ref is a controller's reference.
func ref(apiVersion, kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID("uid of " + name), Controller: &yes}}
}

// pod is one of a controller.
func pod(name string, owners []metav1.OwnerReference, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", OwnerReferences: owners, Labels: moduleLabels(labels)}}
}

// podOf is one of a ReplicaSet that a Deployment made.
func podOf(set string) *corev1.Pod {
	_, hash, _ := strings.Cut(set, "-")
	return pod("pod of "+set, ref("apps/v1", "ReplicaSet", set), map[string]string{"pod-template-hash": hash})
}

func aReplicaSet(name string, owners []metav1.OwnerReference, annotations map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", UID: types.UID("uid of " + name), Labels: moduleLabels(nil),
			OwnerReferences: owners, Annotations: annotations,
		},
	}
}

// revised is a ReplicaSet of the Deployment orders.
func revised(name, revision string) *metav1.PartialObjectMetadata {
	return aReplicaSet(name, ref("apps/v1", "Deployment", "orders"), map[string]string{"deployment.kubernetes.io/revision": revision})
}

func aControllerRevision(name string, owners []metav1.OwnerReference, number int64) *appsv1.ControllerRevision {
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: moduleLabels(nil), OwnerReferences: owners},
		Data:       runtime.RawExtension{Raw: []byte(`{"spec":{"template":{}}}`)}, Revision: number,
	}
}

// What the workload orders is known by: a Deployment's pods by its name, for that can be
// told without its ReplicaSets.
const (
	ordersDeployment = types.UID("shop/Deployment/orders")
	ordersUID        = types.UID("shop/uid of orders")
)

// Every kind of controller numbers its revisions in its own way.
func TestOfWhichRevisionAPodIs(t *testing.T) {
	both := map[string]string{"deployment.kubernetes.io/revision": "7", "rollout.argoproj.io/revision": "3"}
	daemons, replicas, clones := ref("apps/v1", "DaemonSet", "orders"), ref("apps/v1", "StatefulSet", "orders"), ref("apps.kruise.io/v1alpha1", "CloneSet", "orders")
	sets := func(name string) []metav1.OwnerReference { return ref("apps/v1", "ReplicaSet", name) }
	label := func(of, is string) map[string]string { return map[string]string{of: is} }
	for name, c := range map[string]struct {
		set      *metav1.PartialObjectMetadata
		snapshot *appsv1.ControllerRevision
		pod      *corev1.Pod
		want     known
	}{
		"a Deployment's": {revised("orders-1", "12"), nil, podOf("orders-1"), known{ordersDeployment, 12, false}},
		"a Rollout's":    {aReplicaSet("orders-1", ref("argoproj.io/v1alpha1", "Rollout", "orders"), both), nil, pod("p", sets("orders-1"), label("rollouts-pod-template-hash", "1")), known{types.UID("shop/Rollout/orders"), 3, false}},
		"a Deployment's that has a Rollout's annotation too": {aReplicaSet("orders-1", ref("apps/v1", "Deployment", "orders"), both), nil, podOf("orders-1"), known{ordersDeployment, 7, false}},
		"a number that is none":                              {revised("orders-1", "many"), nil, podOf("orders-1"), known{ordersDeployment, 0, false}},
		"a negative number":                                  {revised("orders-1", "-1"), nil, podOf("orders-1"), known{ordersDeployment, 0, false}},
		"a bare ReplicaSet's":                                {aReplicaSet("orders", nil, both), nil, pod("p", sets("orders"), nil), known{ordersUID, 0, false}},
		"a DaemonSet's":                                      {nil, aControllerRevision("orders-5f6", daemons, 4), pod("p", daemons, label("controller-revision-hash", "5f6")), known{ordersUID, 4, false}},
		"a StatefulSet's":                                    {nil, aControllerRevision("orders-5f6", replicas, 4), pod("p", replicas, label("controller-revision-hash", "orders-5f6")), known{ordersUID, 4, false}},
		"a CloneSet's":                                       {nil, aControllerRevision("orders-5f6", clones, 4), pod("p", clones, label("controller-revision-hash", "5f6")), known{ordersUID, 4, false}},
		"a Job's":                                            {nil, nil, pod("p", ref("batch/v1", "Job", "orders"), nil), known{ordersUID, 0, false}},
		"nobody's":                                           {nil, nil, pod("p", nil, label("pod-template-hash", "1")), known{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := watching(t, false)
				if c.set != nil {
					r.sets(c.set)
				}
				if c.snapshot != nil {
					r.snapshots(c.snapshot)
				}
				r.wants(c.pod, c.want)
			})
		})
	}
}

// An undo gives an old ReplicaSet or ControllerRevision the largest number: the Nodes that
// have its pods, and no others, are woken at once.
func TestAnUndoWakesTheNodesOfThePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, false)
		r.sets(revised("orders-1", "1"))
		r.sets(revised("orders-2", "2"))
		daemons := ref("apps/v1", "DaemonSet", "agent")
		r.snapshots(aControllerRevision("agent-1", daemons, 1))
		daemon := pod("p", daemons, map[string]string{"controller-revision-hash": "1"})
		r.of("a", podOf("orders-1"))
		r.of("b", podOf("orders-1"))
		r.of("c", podOf("orders-2"))
		r.of("d", daemon)
		r.wokenNow()

		r.sets(revised("orders-1", "3"))
		if got := r.wokenNow(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("woken: %v, want the Nodes a and b", got)
		}
		r.snapshots(aControllerRevision("agent-1", daemons, 3))
		if got := r.wokenNow(); !slices.Equal(got, []string{"d"}) {
			t.Errorf("woken: %v, want the Node d", got)
		}
		if got := r.of("d", daemon); got.revision != 3 {
			t.Errorf("the pod is of revision %d, want 3", got.revision)
		}
		r.wants(podOf("orders-1"), known{ordersDeployment, 3, false})

		changed := revised("orders-1", "3")
		changed.Annotations["deployment.kubernetes.io/desired-replicas"] = "5"
		r.sets(changed)
		if got := r.wokenNow(); got != nil {
			t.Errorf("woken by what tells nothing new: %v", got)
		}
	})
}

// A pod that is seen before its ReplicaSet waits for it, but not for ever.
func TestAPodIsSeenBeforeItsReplicaSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, false)
		early := []plan.Pod{{Pod: podOf("orders-1")}}
		again := r.Fill("a", early, time.Now())
		if !early[0].Unsynced || again <= 0 {
			t.Fatalf("it is not waited for: %+v, %s", early[0], again)
		}
		leaving := []plan.Pod{{Pod: podOf("orders-1"), Gone: true}}
		if r.Fill("a", leaving, time.Now()); leaving[0].Unsynced {
			t.Error("a pod that is gone waits")
		}
		r.sets(revised("orders-1", "1"))
		if got := r.wokenNow(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("woken: %v, want the Node a", got)
		}
		r.wants(podOf("orders-1"), known{ordersDeployment, 1, false})

		first, second := podOf("lost-1"), podOf("lost-2")
		r.Fill("b", []plan.Pod{{Pod: first}, {Pod: second}}, time.Now())
		<-time.After(again)
		r.sets(aReplicaSet("lost-2", ref("apps/v1", "Deployment", "lost"), nil))
		given := []plan.Pod{{Pod: first}, {Pod: second}}
		if again := r.Fill("b", given, time.Now()); again != 0 || given[0].Unsynced || given[1].Unsynced {
			t.Errorf("they are waited for still: %+v, %s", given, again)
		}
		if given[0].Workload == "" || given[0].Workload != given[1].Workload {
			t.Errorf("they are of the workloads %q and %q, want one", given[0].Workload, given[1].Workload)
		}
	})
}

// A ReplicaSet that is deleted before its pods leaves them of its revision; one that has
// its name later is another.
func TestADeletedReplicaSetIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, false)
		sets := r.metadata.Resource(appsv1.SchemeGroupVersion.WithResource("replicasets")).Namespace("shop")
		r.sets(revised("orders-1", "5"))
		r.wants(podOf("orders-1"), known{ordersDeployment, 5, false})
		if err := sets.Delete(t.Context(), "orders-1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.wants(podOf("orders-1"), known{ordersDeployment, 5, false})
		another := revised("orders-1", "1")
		another.UID = "uid of another"
		r.sets(another)
		r.wants(podOf("orders-1"), known{ordersDeployment, 5, false})

		r.Forget("a")
		if got := r.of("a", podOf("orders-1")); !got.unsynced {
			t.Errorf("it is remembered although no Node had its pods: %+v", got)
		}
		r.Forget("a")
		if len(r.asked)+len(r.nodes) > 0 {
			t.Errorf("something is kept: %v, %v", r.asked, r.nodes)
		}
	})
}

// What a Node has no more wakes it no more.
func TestOnlyNodesWithPodsAreWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, false)
		r.sets(revised("orders-1", "1"))
		r.of("a", podOf("orders-1"))
		r.of("b", podOf("orders-1"))
		r.Fill("a", nil, time.Now())
		r.sets(revised("orders-1", "2"))
		if got := r.wokenNow(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("woken: %v, want the Node b", got)
		}
	})
}

// Who makes a pod may name anybody's workload as its controller: that of another namespace
// it is not one of.
func TestNobodyIsOfAWorkloadOfAnotherNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, false)
		r.sets(revised("orders-1", "1"))
		for name, forged := range map[string]*corev1.Pod{
			"its ReplicaSet": podOf("orders-1"),
			"its Deployment": pod("p", ref("apps/v1", "Deployment", "orders"), nil),
		} {
			forged.Namespace = "evil"
			r.of("a", forged)
			<-time.After(patience)
			if got := r.of("a", forged); got.workload == ordersDeployment || got.workload == ordersUID || got.revision != 0 {
				t.Errorf("a pod that names %s is taken for one of it: %+v", name, got)
			}
		}
	})
}

// Who may not read revisions does without, after a while, and says so once. Once it may,
// it knows them and wakes the Nodes.
func TestWithoutTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, true)
		r.sets(revised("orders-1", "1"))
		r.sets(revised("orders-2", "2"))
		if r.HasSynced() || r.Unread() != "" {
			t.Fatal("one denial is enough")
		}
		<-time.After(time.Minute)
		if !r.HasSynced() {
			t.Fatal("it waits for what it may not see")
		}
		if got := r.Unread(); !strings.Contains(got, "controllerrevisions.apps and replicasets.apps") {
			t.Errorf("unread: %q", got)
		}
		if n := r.logs.FilterMessageSnippet("not permitted").Len(); n != 2 {
			t.Errorf("the log tells %d times, want once of each", n)
		}
		one, two := r.of("a", podOf("orders-1")), r.of("b", podOf("orders-2"))
		if one.unsynced || one.revision != 0 || one.workload == "" || one.workload != two.workload {
			t.Errorf("pods of one Deployment: %+v and %+v", one, two)
		}
		r.permits()
		<-time.After(time.Minute)
		if got := r.wokenNow(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("woken: %v", got)
		}
		r.wants(podOf("orders-1"), known{ordersDeployment, 1, false})
		if got := r.Unread(); got != "" {
			t.Errorf("unread: %q", got)
		}
	})
}

// An API server that has just begun knows no roles yet: what it denies in a blink changes
// nothing.
func TestADenialInABlinkIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t, true)
		<-time.After(time.Second)
		r.permits()
		<-time.After(20 * time.Second)
		if !r.HasSynced() || r.Unread() != "" || r.logs.Len() > 0 {
			t.Errorf("synced %v, unread %q, log %v", r.HasSynced(), r.Unread(), r.logs.All())
		}
	})
}
