package workloads

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"module-controller/provider/plan"
	httptunnel "module-controller/tunnel/http"
)

// aPod is one in which a base may run; its UID is its name with "uid-" before it.
func aPod(name, ip string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name), Labels: map[string]string{"base.koupleless.io/stack": "java"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// cluster is an API server with Pods and tokens, and who knows them.
type cluster struct {
	*Pods
	told  *told
	api   *fake.Clientset
	away  atomic.Bool                          // it answers no question about a Pod
	users map[string]authenticationv1.UserInfo // by token
}

// newCluster has the Pods, which nobody has seen yet.
func newCluster(t *testing.T, cfg Config, pods ...runtime.Object) *cluster {
	t.Helper()
	c := &cluster{told: &told{}, api: fake.NewClientset(pods...), users: map[string]authenticationv1.UserInfo{}}
	c.api.PrependReactor("create", "tokenreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		user, ok := c.users[r.Spec.Token]
		r.Status = authenticationv1.TokenReviewStatus{Authenticated: ok, User: user, Audiences: r.Spec.Audiences}
		return true, r, nil
	})
	var err error
	deps := Deps{Client: c.api, Reviews: c.api.AuthenticationV1().TokenReviews(), Recorder: c.told, Log: zap.NewNop()}
	if c.Pods, err = New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	return c
}

// run serves until the test ends, and returns once all Pods are seen.
func (c *cluster) run(t *testing.T) *cluster {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { end(); running.Wait() })
	if !cache.WaitForCacheSync(ctx.Done(), c.hasSynced()...) {
		t.Fatal("not synced")
	}
	return c
}

// eventually waits for what a watch brings.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("never: %s", what)
}

func hostNetwork(p *corev1.Pod)        { p.Spec.HostNetwork = true }
func ended(p *corev1.Pod)              { p.Status.Phase = corev1.PodSucceeded }
func terminating(p *corev1.Pod)        { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1e9, 0)} }
func unlabelled(p *corev1.Pod)         { p.Labels = nil }
func module(p *corev1.Pod)             { p.Labels["virtual-kubelet.koupleless.io/component"] = "module" }
func onNode(p *corev1.Pod)             { p.Spec.NodeName = "vnode.10.0.0.9.dev" } // a module whose label was taken off
func declared(p *corev1.Pod)           { p.Annotations = map[string]string{AnnotationIdentity: "orders"} }
func dual(p *corev1.Pod)               { p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::5"}) }
func in(ns string) func(p *corev1.Pod) { return func(p *corev1.Pod) { p.Namespace = ns } }

func workload(name, identity string, ips ...string) httptunnel.Workload {
	w := httptunnel.Workload{Name: "shop/" + name + "/uid-" + name, Identity: identity}
	for _, ip := range ips {
		w.Addresses = append(w.Addresses, netip.MustParseAddr(ip))
	}
	return w
}

var addresses = cmpopts.EquateComparable(netip.Addr{})

// Only a Pod that may be a base, alone has the address and has not ended is at it.
func TestWhoIsAtAnAddress(t *testing.T) {
	c := newCluster(t, Config{},
		aPod("plain", "10.0.0.1"), aPod("declared", "10.0.0.2", declared), aPod("dual", "10.0.0.5", dual),
		aPod("terminating", "10.0.0.6", terminating), aPod("old", "10.0.0.1", ended),
		aPod("ended", "10.0.0.3", ended), aPod("unlabelled", "10.0.0.4", unlabelled), aPod("module", "10.0.0.7", module),
		aPod("host", "192.168.0.1", hostNetwork), aPod("one", "10.0.0.8"), aPod("other", "10.0.0.8"), aPod("pending", ""),
		aPod("relabelled", "10.0.0.1", onNode), aPod("alone", "10.0.0.9", onNode),
	).run(t)
	for addr, want := range map[string]httptunnel.Workload{
		"10.0.0.1": workload("plain", "", "10.0.0.1"), "::ffff:10.0.0.1": workload("plain", "", "10.0.0.1"),
		"10.0.0.2": workload("declared", "orders", "10.0.0.2"), "10.0.0.6": workload("terminating", "", "10.0.0.6"),
		"10.0.0.5": workload("dual", "", "10.0.0.5", "fd00::5"), "fd00::5": workload("dual", "", "10.0.0.5", "fd00::5"),
	} {
		got, err := c.At(netip.MustParseAddr(addr))
		if diff := cmp.Diff(want, got, addresses); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", addr, err, diff)
		}
	}
	for addr, want := range map[string]error{
		"10.0.0.3": httptunnel.ErrNoWorkload, "10.0.0.4": httptunnel.ErrNoWorkload, "10.0.0.7": httptunnel.ErrNoWorkload,
		"10.0.0.9": httptunnel.ErrNoWorkload,
		"10.9.9.9": httptunnel.ErrNoWorkload, "192.168.0.1": httptunnel.ErrNoWorkload, "10.0.0.8": httptunnel.ErrUnreviewed,
	} {
		if got, err := c.At(netip.MustParseAddr(addr)); !errors.Is(err, want) || got.Name != "" {
			t.Errorf("%s: %v, %v, want %v", addr, got, err, want)
		}
	}
}

// An identity is declared by a Pod that lives.
func TestWhoDeclaresAnIdentity(t *testing.T) {
	said := func(identity string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{AnnotationIdentity: identity} }
	}
	c := newCluster(t, Config{},
		aPod("plain", "10.0.0.1"), aPod("declared", "10.0.0.2", declared), aPod("ended", "10.0.0.3", said("prices"), ended),
	).run(t)
	for identity, want := range map[string]string{"orders": "shop/declared/uid-declared", "prices": "", "stock": "", "": ""} {
		if got := c.Declaring(identity); got != want {
			t.Errorf("%q is declared by %q, want %q", identity, got, want)
		}
	}
}

// The errors say what to do.
func TestWhatToDo(t *testing.T) {
	c := newCluster(t, Config{Namespaces: []string{"shop", "bank"}}, aPod("host", "192.168.0.1", hostNetwork)).run(t)
	for addr, want := range map[string]string{
		"10.0.0.1":    `no Pod that matches the selector "base.koupleless.io/stack" in namespaces shop, bank has address 10.0.0.1: label the Pod, or set BASE_POD_SELECTOR or BASE_NAMESPACES`,
		"192.168.0.1": "which all its Pods with hostNetwork share: run Pod shop/host without it, or set HTTP_TUNNEL_AUTH to token or certificate",
	} {
		if _, err := c.At(netip.MustParseAddr(addr)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", addr, err, want)
		}
	}
}

// Other Pods may be bases where the settings say so.
func TestWhichPodsMayBeBases(t *testing.T) {
	own := func(p *corev1.Pod) { p.Labels = map[string]string{"app": "base"} }
	pods := []runtime.Object{aPod("a", "10.0.0.1", own), aPod("b", "10.0.0.2", own, in("bank")), aPod("c", "10.0.0.3", own, in("play")), aPod("d", "10.0.0.4")}
	for _, row := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "10.0.0.4"},
		{Config{Selector: "app in (base, bases)"}, "10.0.0.1 10.0.0.2 10.0.0.3"},
		{Config{Selector: "app=base", Namespaces: []string{"shop", "bank"}}, "10.0.0.1 10.0.0.2"},
	} {
		c := newCluster(t, row.cfg, pods...).run(t)
		var found []string
		for _, ip := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"} {
			if _, err := c.At(netip.MustParseAddr(ip)); err == nil {
				found = append(found, ip)
			}
		}
		if got := strings.Join(found, " "); got != row.want {
			t.Errorf("%+v: %s, want %s", row.cfg, got, row.want)
		}
	}
}

// Until all Pods were seen nobody is known, nobody is refused, and nobody is gone.
func TestBeforeAllIsSeen(t *testing.T) {
	c := newCluster(t, Config{}, aPod("plain", "10.0.0.1"))
	_, at := c.At(netip.MustParseAddr("10.0.0.1"))
	_, of := c.OfToken(t.Context(), token("uid-plain"))
	if !errors.Is(at, httptunnel.ErrUnreviewed) || !errors.Is(of, httptunnel.ErrUnreviewed) || c.Place("shop/x/uid-x") != (plan.Place{}) {
		t.Errorf("%v, %v, gone %v", at, of, c.Place("shop/x/uid-x"))
	}
	select {
	case <-c.Known():
		t.Error("they are known before Run")
	default:
	}
	c.run(t)
	<-c.Known()
}

// A Pod is gone when the API server has it no more, or it has ended; another one of its
// name changes nothing. What is no Pod's name, or is not looked at, is not known to be gone.
func TestWhoIsGone(t *testing.T) {
	c := newCluster(t, Config{Namespaces: []string{"shop"}}, aPod("live", "10.0.0.1"), aPod("terminating", "10.0.0.2", terminating), aPod("ended", "10.0.0.3", ended), aPod("plain", "10.0.0.4", unlabelled)).run(t)
	runs, ends, ended := plan.WorkloadRuns, plan.WorkloadEnds, plan.WorkloadEnded
	for name, want := range map[string]plan.Workload{
		"shop/live/uid-live": runs, "shop/terminating/uid-terminating": ends, "shop/ended/uid-ended": ended, "bank/x/uid-x": runs,
		"": runs, "orders": runs, "shop/live": runs, "shop/live/": runs, "a/b/c/d": runs,
	} {
		if got := c.Place(name); got != (plan.Place{Workload: want}) {
			t.Errorf("%q is at %+v", name, got)
		}
	}
	for _, name := range []string{"shop/live/uid-before", "shop/never/uid-never", "shop/plain/uid-plain"} { // these the watch never had
		eventually(t, name+" is gone", func() bool { return c.Place(name).Workload == ended })
	}
	asked := len(c.api.Actions())
	if err := c.api.CoreV1().Pods("shop").Delete(t.Context(), "live", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a deleted Pod is gone", func() bool { return c.Place("shop/live/uid-live").Workload == ended })
	if _, err := c.api.CoreV1().Pods("shop").Create(t.Context(), aPod("next", "10.0.0.1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new Pod is known", func() bool {
		w, err := c.At(netip.MustParseAddr("10.0.0.1"))
		return err == nil && w.Name == "shop/next/uid-next"
	})
	for range 100 {
		c.Place("shop/never/uid-never")
	}
	if more := len(c.api.Actions()) - asked; more > 3 { // the deletion, the creation, and the deleted one if its end was read before it was told
		t.Errorf("%d requests more", more)
	}
}

// behind has a cluster whose watch does not have the Pod late, which the API server has. The
// watch shows it when it is created anew.
func behind(t *testing.T, told func(string)) *cluster {
	t.Helper()
	c := newCluster(t, Config{}, aPod("seen", "10.0.0.1"))
	late := aPod("late", "10.0.0.2", func(p *corev1.Pod) { p.Spec.NodeName = "zoned" })
	c.api.PrependReactor("get", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if c.away.Load() {
			return true, nil, errors.New("the API server is away")
		}
		return a.(k8stesting.GetAction).GetName() == "late", late, nil
	})
	if err := c.Watch(told); err != nil {
		t.Fatal(err)
	}
	return c.run(t)
}

// A Pod that the watch has not shown yet is not gone: the watch of whoever proved it may be
// ahead. The API server tells, and while it does not, nobody knows.
func TestAPodThatWasNotSeenYetIsNotGone(t *testing.T) {
	told := make(chan string, 10)
	c := behind(t, func(w string) { told <- w })
	if got := <-told; got != "shop/seen/uid-seen" {
		t.Fatalf("told of %q", got)
	}
	c.away.Store(true)
	const late, never = "shop/late/uid-late", "shop/never/uid-never"
	for range 3 {
		if a, b := c.Place(late), c.Place(never); a.Workload != plan.WorkloadUnseen || b.Workload != plan.WorkloadUnseen {
			t.Fatalf("nobody knows, and they are at %+v and %+v", a, b)
		}
	}
	c.away.Store(false)
	verdicts := map[string]plan.Workload{}
	for range 2 {
		w := <-told
		verdicts[w] = c.Place(w).Workload
	}
	if diff := cmp.Diff(map[string]plan.Workload{late: plan.WorkloadRuns, never: plan.WorkloadEnded}, verdicts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := c.api.CoreV1().Pods("shop").Create(t.Context(), aPod("late", "10.0.0.2"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != late || c.Place(late).Workload != plan.WorkloadRuns {
		t.Errorf("when the watch shows it, told of %q, at %+v", got, c.Place(late))
	}
	if err := c.api.CoreV1().Pods("shop").Delete(t.Context(), "late", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != late {
		t.Errorf("when it is deleted, told of %q", got)
	}
	eventually(t, "it is gone when it leaves the watch", func() bool { return c.Place(late).Workload == plan.WorkloadEnded })
}

// What the API server said of a Pod that the watch does not show is asked again after a while.
func TestAVerdictIsAskedForAgain(t *testing.T) {
	u, err := newUnseen(fake.NewClientset(), "", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer queue.ShutDown()
	u.queue.Store(&queue)
	now := time.Now()
	u.keep("a/b/c", keptOf(aPod("b", "")))
	u.keep("a/gone/c", nil)
	for _, w := range []string{"a/b/c", "a/gone/c"} {
		if _, ok := u.get(w, now.Add(verdictFor/2)); !ok || queue.Len() > 0 {
			t.Errorf("%s: known %v, asked for %d", w, ok, queue.Len())
		}
	}
	if p, ok := u.get("a/gone/c", now.Add(24*time.Hour)); p != nil || !ok || queue.Len() > 0 {
		t.Errorf("it is gone for ever: %v, %v, asked for %d", p, ok, queue.Len())
	}
	if p, ok := u.get("a/b/c", now.Add(2*verdictFor)); p == nil || !ok || queue.Len() != 1 {
		t.Errorf("until it is known better it is what it was: %v, %v, asked for %d", p, ok, queue.Len())
	}
}

// token is one that says it is bound to a Pod.
func token(podUID string) string {
	text, err := json.Marshal(map[string]any{"sub": "system:serviceaccount:shop:base", "aud": []string{Audience},
		"kubernetes.io": map[string]any{"pod": map[string]any{"uid": podUID}}})
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(text) + ".c2ln"
}

func bound(name, uid string) authenticationv1.UserInfo {
	return authenticationv1.UserInfo{Username: "system:serviceaccount:shop:base", Extra: map[string]authenticationv1.ExtraValue{
		extraPodName: {name}, extraPodUID: {uid}}}
}

// A token is its Pod's, as the API server says and not as the token does.
func TestWhoseTokenItIs(t *testing.T) {
	c := newCluster(t, Config{}, aPod("plain", "10.0.0.1"), aPod("host", "192.168.0.1", hostNetwork), aPod("ended", "10.0.0.3", ended), aPod("claimed", "10.0.0.4"), aPod("loose", "10.0.0.5")).run(t)
	c.users[token("uid-plain")] = bound("plain", "uid-plain")
	c.users[token("uid-host")] = bound("host", "uid-host")
	c.users[token("uid-claimed")] = bound("other", "uid-other") // the token said another one
	c.users[token("uid-loose")] = authenticationv1.UserInfo{Username: "system:serviceaccount:shop:base"}
	for uid, want := range map[string]httptunnel.Workload{
		"uid-plain": workload("plain", "", "10.0.0.1"), "uid-host": workload("host", "", "192.168.0.1"),
	} {
		got, err := c.OfToken(t.Context(), token(uid))
		if diff := cmp.Diff(want, got, addresses); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", uid, err, diff)
		}
	}
	before := len(c.api.Actions())
	for uid, want := range map[string]string{
		"uid-ended": "no Pod that matches", "uid-stranger": "no Pod that matches", "": "is bound to no Pod: mount a projected serviceAccountToken with audience module-controller",
	} {
		if _, err := c.OfToken(t.Context(), token(uid)); !errors.Is(err, httptunnel.ErrNoWorkload) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", uid, err, want)
		}
	}
	if after := len(c.api.Actions()); after != before {
		t.Errorf("%d requests for tokens that name no Pod of ours", after-before)
	}
	for uid, want := range map[string]string{"uid-claimed": "uid-other", "uid-loose": "is bound to no Pod"} {
		if _, err := c.OfToken(t.Context(), token(uid)); !errors.Is(err, httptunnel.ErrNoWorkload) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", uid, err, want)
		}
	}
}

// What a token is cannot always be found out.
func TestATokenThatCannotBeReviewed(t *testing.T) {
	c := newCluster(t, Config{}, aPod("plain", "10.0.0.1")).run(t)
	away := errors.New("the API server is away")
	c.api.PrependReactor("create", "tokenreviews", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, away })
	if _, err := c.OfToken(t.Context(), token("uid-plain")); !errors.Is(err, httptunnel.ErrUnreviewed) || !errors.Is(err, away) {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	err := Config{Selector: "a in b", Namespaces: []string{"ok", "Not OK"}}.Validate()
	for _, want := range []string{`BASE_POD_SELECTOR "a in b" must be a label selector`, `BASE_NAMESPACES: "Not OK" is no namespace`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(Config{Selector: "a in b"}, Deps{Client: fake.NewClientset(), Recorder: &told{}, Log: zap.NewNop()}); err == nil {
		t.Error("it was made")
	}
	if err := (Config{}).Complete().Validate(); err != nil {
		t.Error(err)
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := newCluster(t, Config{Namespaces: []string{"shop", "bank"}})
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// A base is in the zone of the machine that its Pod runs on; VNodes are no machines.
func TestWhereAPodRuns(t *testing.T) {
	on := func(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }
	node := func(name string, labels map[string]string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	c := newCluster(t, Config{},
		node("zoned", map[string]string{corev1.LabelTopologyZone: "a", corev1.LabelTopologyRegion: "r", "team": "blue"}), node("plain", nil),
		node("virtual", map[string]string{plan.LabelComponent: plan.ComponentVNode, corev1.LabelTopologyZone: "v"}),
		aPod("zoned", "10.0.0.1", on("zoned")), aPod("plain", "10.0.0.2", on("plain")), aPod("virtual", "10.0.0.3", on("virtual")),
		aPod("pending", ""), aPod("ends", "10.0.0.4", on("zoned"), terminating), aPod("away", "10.0.0.5", on("unknown"))).run(t)
	for name, want := range map[string]plan.Place{
		"zoned": {Machine: "zoned", Zone: "a", Region: "r"}, "plain": {Machine: "plain"}, "virtual": {Machine: "virtual"}, "pending": {}, "away": {Machine: "unknown"},
		"ends": {Workload: plan.WorkloadEnds, Machine: "zoned", Zone: "a", Region: "r"},
	} {
		if got := c.Place("shop/" + name + "/uid-" + name); got != want {
			t.Errorf("%s is at %+v, want %+v", name, got, want)
		}
	}
}

// Whoever watches is told when a Pod comes, begins to end and is gone, and of nothing else.
func TestWatchers(t *testing.T) {
	c := newCluster(t, Config{}, aPod("live", "10.0.0.1"))
	told := make(chan string, 10)
	if err := c.Watch(func(w string) { told <- w }); err != nil {
		t.Fatal(err)
	}
	c.run(t)
	if got := <-told; got != "shop/live/uid-live" {
		t.Errorf("told of %q", got)
	}
	pods := c.api.CoreV1().Pods("shop")
	for _, change := range []func(*corev1.Pod){declared, terminating} {
		if _, err := pods.Update(t.Context(), aPod("live", "10.0.0.1", change), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-told; got != "shop/live/uid-live" || c.Place(got).Workload != plan.WorkloadEnds {
		t.Errorf("told of %q, which is at %+v", got, c.Place(got))
	}
	if err := pods.Delete(t.Context(), "live", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != "shop/live/uid-live" {
		t.Errorf("told of %q", got)
	}
	eventually(t, "it is gone", func() bool { return c.Place("shop/live/uid-live").Workload == plan.WorkloadEnded })
	if len(told) > 0 {
		t.Errorf("told once more, of %q", <-told)
	}
}
