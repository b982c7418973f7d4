package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/kubelet"
	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Kubelets serves the kubelet's API of Nodes. All return at once.
type Kubelets interface {
	// At gives where that of a Node is served from now on, until Forget; zero where it is not.
	// It is where the Node shows it, if it can be served there, and nowhere where others, which
	// returns at once, says that another Node shows its own.
	At(node string, shown plan.Endpoint, others func(plan.Endpoint) bool) plan.Endpoint
	Forget(node string)
}

// noKubelets serves none.
type noKubelets struct{}

func (noKubelets) At(string, plan.Endpoint, func(plan.Endpoint) bool) plan.Endpoint {
	return plan.Endpoint{}
}

func (noKubelets) Forget(string) {}

// Views shows the bases that a Provider serves to who serves their kubelet's API. It may be
// used from any goroutine.
type Views struct{ of *Provider }

var _ kubelet.Bases = Views{}

// ViewsOf gives the Views of a Provider.
func ViewsOf(p *Provider) Views { return Views{p} }

// Look implements kubelet.Bases.
func (v Views) Look(node string) (kubelet.View, bool) {
	r, shown := v.of.bases.onNode(node), v.of.nodes.get(node)
	switch {
	case r == nil, shown == nil:
		return kubelet.View{}, false
	}
	sight := r.inbox.look()
	view := kubelet.View{
		Node: shown, Workload: r.inbox.workload(), Pods: v.of.pods.InCluster(node), Health: sight.Health, Told: sight.Told, CPUSeconds: sight.CPUSeconds,
	}
	for _, pod := range v.of.pods.Pods.On(node) {
		if plan.Serves(pod.Pod, sight.Modules) {
			view.Running = append(view.Running, outline(pod.Pod))
		}
	}
	return view, true
}

// outline is what may be shown of a pod whose references are resolved: no environment.
func outline(pod *corev1.Pod) *corev1.Pod {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	o.Spec.NodeName = pod.Spec.NodeName
	for _, c := range pod.Spec.Containers {
		o.Spec.Containers = append(o.Spec.Containers, corev1.Container{Name: c.Name})
	}
	return o
}

// maxAsking bounds who waits for an answer of one base.
const maxAsking = 4

// Ask implements kubelet.Bases. Whatever else the base is asked meanwhile, its next answer of
// the kind answers it: that was given after the question.
func (v Views) Ask(ctx context.Context, node string, verb tunnel.Verb) (tunnel.Report, error) {
	p := v.of
	r := p.bases.onNode(node)
	if r == nil {
		return tunnel.Report{}, errors.New("this replica does not know the base: its owner does, ask again")
	}
	if now, _ := right(p.deps.Owner, r.id); now < lifecycle.Valid {
		return tunnel.Report{}, errors.New("this replica does not own the base now: its Node names its owner soon, ask again")
	}
	w, through := r.inbox.await(verb)
	if w == nil {
		return tunnel.Report{}, errors.New("others wait for an answer of this base: ask again later")
	}
	defer r.inbox.done(w)
	p.tunnels.budget.spend(1, time.Now())
	to := p.tunnels.byName[through]
	if to == nil {
		return tunnel.Report{}, tunnel.ErrNotFollowed
	}
	if err := to.Do(ctx, r.id, tunnel.Command{Verb: verb}); err != nil {
		return tunnel.Report{}, fmt.Errorf("ask the base: %w", err)
	}
	select {
	case answer := <-w.answer:
		return answer, nil
	case <-ctx.Done():
		return tunnel.Report{}, fmt.Errorf("the base does not answer: %w", ctx.Err())
	}
}

// waiter waits for one answer to a question.
type waiter struct {
	verb   tunnel.Verb
	answer chan tunnel.Report // has room for it
}

// tell hands a report over if it is the answer. It does not block.
func (w *waiter) tell(r tunnel.Report) {
	answers := r.Listed
	if w.verb == tunnel.ReadHealth {
		answers = r.Health != nil
	}
	if !answers {
		return
	}
	select {
	case w.answer <- r:
	default: // it has one
	}
}

// await begins to wait for an answer, and gives the tunnel through which to ask. It gives nil
// where too many wait. That a list was asked for is noted before it can come.
func (i *inbox) await(v tunnel.Verb) (w *waiter, through string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.waiting) >= maxAsking {
		return nil, ""
	}
	if v == tunnel.ListModules {
		i.mailbox.Asked(time.Now())
	}
	w = &waiter{verb: v, answer: make(chan tunnel.Report, 1)}
	i.waiting = append(i.waiting, w)
	return w, i.mailbox.Through()
}

// done ends waiting.
func (i *inbox) done(w *waiter) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = slices.DeleteFunc(i.waiting, func(other *waiter) bool { return other == w })
}
