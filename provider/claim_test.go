package provider

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// owner is an Owner that does as it is told.
type owner struct {
	claim  shard.Claim
	ours   bool // the base is this replica's
	mayAct bool
	wishes int
	yields int
}

func (o *owner) Claim(tunnel.BaseID) (shard.Claim, bool) {
	o.wishes++
	o.claim.Deadline = time.Now().Add(time.Minute)
	return o.claim, o.ours && o.mayAct
}
func (o *owner) Held(tunnel.BaseID) bool { return o.ours }
func (o *owner) Drained(tunnel.BaseID)   { o.yields++ }

// wire is a tunnel that notes what it is asked to do.
type wire struct {
	follows, unfollows int
	commands           []tunnel.Command
}

func (w *wire) Name() string                                 { return "wire" }
func (w *wire) Run(ctx context.Context, _ tunnel.Sink) error { <-ctx.Done(); return nil }
func (w *wire) Follow(tunnel.Heartbeat)                      { w.follows++ }
func (w *wire) Unfollow(tunnel.BaseID)                       { w.unfollows++ }
func (w *wire) Do(_ context.Context, _ tunnel.BaseID, c tunnel.Command) error {
	w.commands = append(w.commands, c)
	return nil
}

// servedBase is a provider that nobody runs, with a base that was heard just now.
type servedBase struct {
	*Provider
	t       *testing.T
	id      tunnel.BaseID
	owner   *owner
	wire    *wire
	client  *fake.Clientset
	retired []tunnel.BaseID
}

func newServedBase(t *testing.T, objects ...runtime.Object) *servedBase {
	t.Helper()
	s := &servedBase{
		t: t, id: tunnel.BaseID{Env: "dev", Identity: "b"}, client: fake.NewClientset(objects...), wire: &wire{},
		owner: &owner{claim: shard.Claim{Epoch: 1}, ours: true, mayAct: true},
	}
	var err error
	s.Provider, err = New(Config{}, Deps{
		Client: s.client, Owner: s.owner, Tunnels: []tunnel.Tunnel{s.wire}, Log: zap.NewNop(), Envs: []string{"dev"},
		Recorder: record.NewFakeRecorder(100), Retired: func(id tunnel.BaseID) { s.retired = append(s.retired, id) },
	})
	must(t, err)
	t.Cleanup(s.queue.ShutDown)
	close(s.ready)
	s.Link(tunnel.Link{Tunnel: "wire", Up: true, Since: time.Now().Add(-time.Hour)})
	return s
}

func (s *servedBase) beats(name string) {
	s.Heartbeat(tunnel.Heartbeat{Base: s.id, Tunnel: "wire", Name: name, Version: "1", Cluster: "c", IP: "192.0.2.1", Received: time.Now()})
}

// lists has the base tell what it runs, as it is asked to.
func (s *servedBase) lists(modules ...tunnel.Module) {
	s.Report(tunnel.Report{Base: s.id, Tunnel: "wire", Received: time.Now(), Asked: time.Now(), Listed: true, Modules: modules})
}

func (s *servedBase) look() *base {
	s.t.Helper()
	_, err := s.sync(s.t.Context(), s.id)
	must(s.t, err)
	return s.bases.get(s.id)
}

// claims has the base claimed, without the read that many claims share.
func (s *servedBase) claims() {
	s.t.Helper()
	s.look().claimed = time.Now().Add(-fencePatience)
}

// handsOver has a pod handed over by the pod controller.
func (s *servedBase) handsOver(pod *corev1.Pod) {
	s.t.Helper()
	must(s.t, s.shown.informer.GetIndexer().Add(pod))
	must(s.t, s.pods.CreatePod(s.t.Context(), pod))
}

func (s *servedBase) installs() (n int) {
	for _, c := range s.wire.commands {
		if c.Verb == tunnel.InstallModule {
			n++
		}
	}
	return n
}

func orders() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "orders", Namespace: "default", UID: "u", ResourceVersion: "5", Labels: map[string]string{plan.LabelComponent: plan.ComponentModule}},
		Spec: corev1.PodSpec{NodeName: "vnode.b.dev", Containers: []corev1.Container{{
			Name: "orders", Image: "file:///orders.jar", Env: []corev1.EnvVar{{Name: plan.EnvVersion, Value: "1"}}}}},
	}
}

var activated = tunnel.Module{ModuleKey: tunnel.ModuleKey{Name: "orders", Version: "1"}, State: tunnel.Activated}

// A base that is no more is told about by its owner; asking for its claim would make
// its Lease anew.
func TestABaseThatIsNotKnownIsNotWishedFor(t *testing.T) {
	s := newServedBase(t)
	s.owner.ours = false
	if b := s.look(); b != nil || s.owner.wishes > 0 {
		t.Errorf("it is known: %v, its claim was asked for %d times", b != nil, s.owner.wishes)
	}
}

// While we may not act for a base that is ours, what is under way on it goes on.
func TestABaseIsServedStillWhileWeMayNotAct(t *testing.T) {
	s := newServedBase(t, orders())
	s.beats("shop")
	s.claims()
	s.handsOver(orders())
	s.lists()
	if b := s.look(); len(b.attempts) != 1 || s.installs() != 1 {
		t.Fatalf("attempts %v, commands %v", b.attempts, s.wire.commands)
	}
	s.owner.mayAct = false
	s.look()
	s.owner.mayAct = true
	if b := s.look(); len(b.attempts) != 1 || b.requests != 1 || s.wire.unfollows > 0 || s.installs() != 1 {
		t.Errorf("afterwards attempts %v, %d requests, unfollowed %d times, commands %v", b.attempts, b.requests, s.wire.unfollows, s.wire.commands)
	}
	s.owner.claim.Since = time.Now()
	if b := s.look(); !b.adopted.Equal(s.owner.claim.Since) {
		t.Errorf("its silence counts from %s, not from when it could be asked again", b.adopted)
	}
	s.owner.claim.Epoch = 3 // somebody else had it meanwhile
	if b := s.look(); len(b.attempts) > 0 || s.wire.unfollows != 1 || s.wire.follows != 2 || b.epoch != 3 {
		t.Errorf("won again, attempts %v, unfollowed %d times, followed %d times, epoch %d", b.attempts, s.wire.unfollows, s.wire.follows, b.epoch)
	}
	s.owner.ours = false
	if b := s.look(); b.owned || s.wire.unfollows != 2 {
		t.Errorf("lost, it is owned: %v, unfollowed %d times", b.owned, s.wire.unfollows)
	}
}

// The next owner knows neither what an answer meant nor what was not written.
func TestABaseLeavesWhenAllIsToldOfIt(t *testing.T) {
	s := newServedBase(t, orders())
	s.beats("shop")
	s.claims()
	s.handsOver(orders())
	s.lists()
	s.look()
	s.owner.claim.Phase = shard.Draining
	installed := s.wire.commands[len(s.wire.commands)-1]
	s.look()
	if s.owner.yields > 0 {
		t.Fatal("it leaves although a command is not answered")
	}
	s.Report(tunnel.Report{Base: s.id, Tunnel: "wire", Received: time.Now(), Answer: &tunnel.Answer{Verb: tunnel.InstallModule, Module: installed.Module, Outcome: tunnel.Done}})
	s.look()
	if s.owner.yields > 0 {
		t.Fatal("it leaves although the list has not shown what the answer meant")
	}
	s.lists(activated)
	s.look()
	if s.owner.yields > 0 {
		t.Fatal("it leaves although what the pod shows is not written")
	}
	s.pods.wrote("vnode.b.dev", "u", s.pods.toWrite("vnode.b.dev", "u"), "6")
	if s.look(); s.owner.yields != 1 {
		t.Error("it does not leave")
	}
}

// What may be the next owner's at any moment is not written any more; a base that stays
// after all is.
func TestNothingIsWrittenOfABaseThatMayBeAnothers(t *testing.T) {
	s := newServedBase(t)
	s.beats("shop")
	s.claims()
	s.Report(tunnel.Report{Base: s.id, Tunnel: "wire", Received: time.Now(), Health: &tunnel.Health{Uptime: time.Hour}})
	s.owner.claim.Phase = shard.Draining
	if s.look(); s.owner.yields != 1 {
		t.Fatal("it does not leave")
	}
	s.client.ClearActions()
	another := tunnel.Heartbeat{Base: s.id, Tunnel: "wire", Name: "shop", Version: "2", Cluster: "c", IP: "192.0.2.2", Received: time.Now()}
	s.Heartbeat(another) // its Node should tell of it
	s.look()
	if actions := s.client.Actions(); len(actions) > 0 || s.owner.yields != 2 {
		t.Errorf("it yielded %d times, and made %d requests", s.owner.yields, len(actions))
	}
	s.owner.claim.Phase = shard.Owned
	if s.look(); len(s.client.Actions()) == 0 {
		t.Error("it stays, and its Node is not written")
	}
}

// A base that is handed over whatever is under way is not written any more either, and
// goes when the writes on their way have ended.
func TestABaseThatIsHandedOverInAnyCaseIsNotWritten(t *testing.T) {
	s := newServedBase(t, orders())
	s.beats("shop")
	s.claims()
	s.handsOver(orders())
	s.lists()
	s.look()
	s.owner.claim.Phase = shard.Forced
	s.client.ClearActions()
	if s.look(); s.owner.yields > 0 {
		t.Error("it goes although what the pod shows is not written")
	}
	s.pods.wrote("vnode.b.dev", "u", s.pods.toWrite("vnode.b.dev", "u"), "6")
	s.lists(activated) // the pod should show it
	if b := s.look(); s.owner.yields != 1 || len(b.attempts) == 0 {
		t.Errorf("it yielded %d times, with %d commands under way", s.owner.yields, len(b.attempts))
	}
	if written := s.pods.writing("vnode.b.dev"); written || len(s.client.Actions()) > 0 {
		t.Errorf("the pod is written: %v, requests: %d", written, len(s.client.Actions()))
	}
}

// Nothing is done and nothing is shown from a view of pods that is older than the claim.
func TestNothingIsDoneFromAnOldView(t *testing.T) {
	ready := orders()
	ready.ResourceVersion = "9"
	s := newServedBase(t, ready)
	s.client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "9"}, Items: []corev1.Pod{*ready}}, nil
	})
	s.beats("shop")
	s.claims()
	s.handsOver(orders())
	s.lists()
	s.look()
	if entry := s.pods.pods["vnode.b.dev"]["u"]; s.installs() > 0 || entry.written != nil {
		t.Errorf("commands %v, written %v", s.wire.commands, entry.written)
	}
	must(t, s.shown.informer.GetIndexer().Update(ready))
	if s.look(); s.installs() != 1 {
		t.Errorf("the view is new, commands %v", s.wire.commands)
	}
}

// Another application that took the address over before the claim came gets nothing of
// the one before.
func TestATakenOverAddressIsRememberedUntilTheClaim(t *testing.T) {
	s := newServedBase(t)
	s.beats("shop")
	node := plan.Node(plan.NodeInput{Now: time.Now(), Name: "vnode.b.dev", Base: s.look().beat}, nil)
	must(t, s.nodes.informer.GetStore().Add(node))
	s.owner.ours = false
	s.look()
	s.beats("bank")
	s.look()
	b := s.bases.get(s.id)
	b.begin(s.owner.claim, node, time.Now(), time.Minute)
	if b.takenOver == nil || b.takenOver.Name != "bank" || b.beat.Name != "shop" {
		t.Errorf("it is %s, taken over by %v", b.beat.Name, b.takenOver)
	}
}

// A base that did not answer its last owner does not answer the next one.
func TestABaseThatAnswersNothingStaysNotReady(t *testing.T) {
	s := newServedBase(t)
	s.beats("shop")
	b := s.look()
	node := plan.Node(plan.NodeInput{Now: time.Now(), Name: "vnode.b.dev", Base: b.beat, NotReady: plan.ReasonBaseNotAnswering}, nil)
	b.begin(s.owner.claim, node, time.Now(), time.Minute)
	if age := s.ageOf(b, time.Now(), ""); age.NotReady != plan.ReasonBaseNotAnswering {
		t.Errorf("taken over, it is %q", age.NotReady)
	}
	s.lists()
	b.absorb(b.take())
	if age := s.ageOf(b, time.Now(), ""); age.NotReady != "" {
		t.Errorf("it answered, and is %s", age.NotReady)
	}
}

// A base whose tunnel is not served here is given up, so that its Node ages.
func TestABaseOfAnotherTunnelIsGivenUp(t *testing.T) {
	s := newServedBase(t)
	beat := tunnel.Heartbeat{Base: s.id, Tunnel: "pigeon", Name: "shop"}
	must(t, s.nodes.informer.GetStore().Add(plan.Node(plan.NodeInput{Now: time.Now(), Name: "vnode.b.dev", Base: beat}, nil)))
	if b := s.look(); b != nil || len(s.retired) != 1 {
		t.Errorf("it is known: %v, given up: %v", b != nil, s.retired)
	}
}

// A base that is gone is served until its Node is deleted, or its silence would begin
// anew.
func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	s := newServedBase(t)
	s.beats("shop")
	b := s.look()
	b.written = plan.Node(plan.NodeInput{Now: time.Now(), Name: "vnode.b.dev", Base: b.beat}, nil)
	fails := true
	s.client.PrependReactor("delete", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return fails, nil, errors.New("no")
	})
	if err := s.retire(t.Context(), b, ""); err == nil || !b.owned || len(s.retired) > 0 {
		t.Errorf("error %v, owned %v, retired %v", err, b.owned, s.retired)
	}
	fails = false
	if err := s.retire(t.Context(), b, ""); err != nil || b.owned || len(s.retired) != 1 {
		t.Errorf("error %v, owned %v, retired %v", err, b.owned, s.retired)
	}
}

// The end of one write of a status is not that of the next, which waits for it.
func TestAStatusThatIsToBeWrittenIsWaitedFor(t *testing.T) {
	s := newServedBase(t, orders())
	s.beats("shop")
	s.claims()
	s.handsOver(orders())
	s.pods.write(orders(), corev1.PodStatus{Reason: "first"})
	first := s.pods.toWrite("vnode.b.dev", "u")
	s.pods.write(orders(), corev1.PodStatus{Reason: "second"})
	if s.pods.wrote("vnode.b.dev", "u", first, "6"); !s.pods.writing("vnode.b.dev") {
		t.Error("the second is not waited for")
	}
	if s.pods.wrote("vnode.b.dev", "u", s.pods.toWrite("vnode.b.dev", "u"), "7"); s.pods.writing("vnode.b.dev") {
		t.Error("it is waited for, though it is written")
	}
}
