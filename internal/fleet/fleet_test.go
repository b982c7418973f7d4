package fleet

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/provider/plan"
	"module-controller/shard"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const prefix = "virtual-kubelet.koupleless.io/"

func memberLease(namespace, name, state string, renewed time.Time, envs string) *coordinationv1.Lease {
	holder, seconds, at := name+"_00000001", int32(10), metav1.NewMicroTime(renewed)
	if state != "serving" {
		holder = ""
	}
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{prefix + "component": "module-controller"},
			Annotations: map[string]string{prefix + "state": state, prefix + "tunnels": "up", prefix + "environments": envs}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at},
	}
}

func baseLease(name, holder, installation string, renewed time.Time) *coordinationv1.Lease {
	seconds, at := int32(40), metav1.NewMicroTime(renewed)
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at}}
	if installation != "" {
		l.Labels = map[string]string{prefix + "installation": installation}
	}
	return l
}

func vnode(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{plan.LabelComponent: plan.ComponentVNode}}}
}

func modulePod(name, node string, owner metav1.Object, kind string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "uid-1", Labels: map[string]string{plan.LabelComponent: plan.ComponentModule}}, Spec: corev1.PodSpec{NodeName: node}}
	if owner != nil {
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind(kind))}
	}
	return p
}

const one, two, three = "vnode.base-1.dev", "vnode.base-2.dev", "vnode.base-3.prod"

// objects are a cluster with two members, three bases and a Deployment.
func objects() []runtime.Object {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orders", UID: "d"}}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orders-1", UID: "rs", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}}}
	return []runtime.Object{
		memberLease("mc", "mc-0", "serving", noon, "dev"), memberLease("mc", "mc-1", "serving", noon.Add(-time.Second), "dev"), memberLease("mc", "mc-2", "released", noon, "dev"),
		memberLease("other", "mc-0", "serving", noon, "prod"),
		vnode(one), vnode(two), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-1"}},
		baseLease(one, "mc-0_00000001", "mc", noon.Add(-10*time.Second)), baseLease(two, "mc-0_00000001", "mc", noon), baseLease(three, "mc-0_00000001", "other", noon),
		baseLease("machine-1", "machine-1", "", noon),
		d, rs, modulePod("orders-1-x", one, rs, "ReplicaSet"),
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "mc", Name: "mc-0", Labels: map[string]string{"app.kubernetes.io/name": "module-controller"}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "shop-0", Labels: map[string]string{basePods: "java"}}},
	}
}

func reader(client *fake.Clientset) Reader {
	return Reader{Client: client, Namespace: "mc", Now: func() time.Time { return noon }}
}

func names[T any](all []T, name func(T) string) (of []string) {
	for _, one := range all {
		of = append(of, name(one))
	}
	return of
}

// What is read is what there is: members by installation, bases by Node and Lease, pods.
func TestTheFleetIsRead(t *testing.T) {
	s, err := reader(fake.NewClientset(objects()...)).Read(t.Context(), Everything)
	if err != nil {
		t.Fatal(err)
	}
	member := func(m Member) string { return m.Installation + "/" + m.Name }
	for what, c := range map[string]struct{ got, want []string }{
		"members":  {names(s.Members, member), []string{"mc/mc-0", "mc/mc-1", "mc/mc-2"}},
		"others":   {names(s.Others, member), []string{"other/mc-0"}},
		"live":     {names(s.Live(), member), []string{"mc/mc-0", "mc/mc-1"}},
		"bases":    {names(s.Bases, func(b *Base) string { return b.Name }), []string{one, two, three}},
		"modules":  {names(s.PodsOn(one), func(p *corev1.Pod) string { return p.Name }), []string{"orders-1-x"}},
		"basePods": {names(s.BasePods, func(p corev1.Pod) string { return p.Name }), []string{"shop-0"}},
		"replicas": {names(s.Replicas, func(p corev1.Pod) string { return p.Name }), []string{"mc-0"}},
		"unread":   {names(s.Unread, func(u Unread) string { return u.What }), nil},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	if m := s.Owner(s.Base(one)); m == nil || m.Name != "mc-0" {
		t.Errorf("base-1 is owned by %+v", m)
	}
	if s.Foreign(s.Base(one)) || !s.Foreign(s.Base(three)) || s.Base("machine-1") != nil {
		t.Error("it is not told which bases are ours")
	}
	if late := s.Late(s.Base(one)); late != 10*time.Second {
		t.Errorf("the Lease of base-1 is %s old", late)
	}
	if b := s.Balance(); b != (Balance{Least: 0, Most: 2, Fair: 1}) {
		t.Errorf("the balance is %+v", b)
	}
	if !s.Serves("dev") || s.Serves("prod") {
		t.Error("the environments that are served are not those of live members")
	}
}

// A snapshot comes to the same assignment as the members do.
func TestMovesAreWhatMembersWouldDo(t *testing.T) {
	s, err := reader(fake.NewClientset(objects()...)).Read(t.Context(), Scope{})
	if err != nil {
		t.Fatal(err)
	}
	should := shard.Assign([]string{one, two}, []string{"mc-0", "mc-1"})
	var want []Move
	for _, base := range []string{one, two} {
		if should[base] != "mc-0" {
			want = append(want, Move{Base: base, From: "mc-0", To: should[base]})
		}
	}
	if d := cmp.Diff(want, s.Moves()); d != "" || len(want) == 0 {
		t.Errorf("moves (-want +got):\n%s", d)
	}
}

// Of a pod it is read what it is a replica of, and its own base alone.
func TestAPodIsReadWithWhatDecidesOverIt(t *testing.T) {
	client := fake.NewClientset(objects()...)
	s, pod, err := reader(client).ReadPod(t.Context(), "team", "orders-1-x")
	if err != nil {
		t.Fatal(err)
	}
	if pod.Spec.NodeName != one || len(s.Bases) != 1 || s.Bases[0].Name != one {
		t.Errorf("of %s were read %d bases", pod.Spec.NodeName, len(s.Bases))
	}
	kinds := names(slices.Collect(func(yield func(Owner) bool) {
		for _, o := range s.Owners {
			yield(o)
		}
	}), func(o Owner) string { return o.Kind })
	slices.Sort(kinds)
	if d := cmp.Diff([]string{"Deployment", "ReplicaSet"}, kinds); d != "" {
		t.Errorf("owners (-want +got):\n%s", d)
	}
	for _, a := range client.Actions() {
		if a.Matches("list", "nodes") {
			t.Error("all Nodes were listed for a pod that has one")
		}
	}
	if _, _, err := reader(client).ReadPod(t.Context(), "team", "none"); !apierrors.IsNotFound(err) {
		t.Errorf("of a pod that is not there: %v", err)
	}
}

// What the caller may not read is named, and the rest is read.
func TestWhatMayNotBeReadIsNamed(t *testing.T) {
	client := fake.NewClientset(objects()...)
	client.PrependReactor("list", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", nil)
	})
	client.PrependReactor("list", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetNamespace() == metav1.NamespaceAll {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "", nil)
		}
		return false, nil, nil
	})
	s, err := reader(client).Read(t.Context(), Scope{})
	if err != nil {
		t.Fatal(err)
	}
	unread := names(s.Unread, func(u Unread) string { return u.What })
	slices.Sort(unread)
	if d := cmp.Diff([]string{"Nodes", "members of other installations"}, unread); d != "" {
		t.Errorf("unread (-want +got):\n%s", d)
	}
	if len(s.Members) != 3 || len(s.Others) != 0 {
		t.Errorf("%d members and %d others were read", len(s.Members), len(s.Others))
	}
}

// An API server that is not reached is an error.
func TestAnAPIServerThatIsAwayIsAnError(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("list", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, context.DeadlineExceeded
	})
	if _, err := reader(client).Read(t.Context(), Scope{}); err == nil {
		t.Error("it was read")
	}
}

// Rights are asked for one by one, for the service account.
func TestRightsAreAskedFor(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		r.Status.Allowed = r.Spec.ResourceAttributes.Subresource != "status" && r.Spec.User == "system:serviceaccount:mc:account"
		return true, r, nil
	})
	c, err := reader(client).ReadCluster(t.Context(), "account", false)
	if err != nil {
		t.Fatal(err)
	}
	var lacks []string
	for _, v := range c.Rights {
		if !v.Has {
			lacks = append(lacks, v.String())
		}
	}
	if d := cmp.Diff([]string{"patch nodes/status", "patch pods/status"}, lacks); d != "" {
		t.Errorf("it lacks (-want +got):\n%s", d)
	}
	if c.FlowSchema == "" {
		t.Error("a FlowSchema that is not there is not missed")
	}
}
