package plan

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// What follows builds inputs of words: a module is "orders:1", a listed one
// "orders:1 activated".

func module(word string) tunnel.ModuleKey {
	name, version, _ := strings.Cut(word, ":")
	return tunnel.ModuleKey{Name: name, Version: version}
}

func listed(words ...string) []tunnel.Module {
	var modules []tunnel.Module
	for _, w := range words {
		key, state, _ := strings.Cut(w, " ")
		modules = append(modules, tunnel.Module{ModuleKey: module(key), State: tunnel.State(state)})
	}
	return modules
}

// onBase is what is known at noon of a base that is served for long and listed these
// modules just now.
func onBase(words ...string) Input {
	return Input{
		Now: noon, BaseID: tunnel.BaseID{Env: "dev", Identity: "b"}, IP: "192.0.2.9", Live: true,
		Since: noon.Add(-time.Hour), LinkSince: noon.Add(-time.Hour),
		Seen: Seen{Modules: listed(words...), Listed: noon}, Memory: Memory{}.clone(),
	}
}

// demandOf is what the pods ask for on a base that lists nothing.
func demandOf(in Input) *demand {
	in.Config = in.Config.Complete()
	return newDemand(in, newList(in.Seen))
}

func (in Input) with(pods ...Pod) Input {
	in.Pods = append(in.Pods, pods...)
	return in
}

// podFor is a pod of one container, made a minute ago. It is of a workload of which no
// revisions are known.
func podFor(name, word string, change ...func(*Pod)) Pod {
	key := module(word)
	pod := Pod{Workload: "w", Pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(noon.Add(-time.Minute))},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: key.Name, Image: urlOf(key.Name, key.Version),
			Env: []corev1.EnvVar{{Name: EnvVersion, Value: key.Version}}}}},
	}}
	for _, f := range change {
		f(&pod)
	}
	return pod
}

func terminating(p *Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} }
func gone(p *Pod)        { p.Gone = true }
func notSynced(p *Pod)   { p.Unsynced = true }
func noSecret(p *Pod)    { p.Unresolved = "secret is missing" }
func succeeding(p *Pod)  { p.Status.Phase = corev1.PodSucceeded }

// age makes a pod that much older than noon.
func age(by time.Duration) func(*Pod) {
	return func(p *Pod) { p.CreationTimestamp = metav1.NewTime(noon.Add(-by)) }
}

// image gives a pod's module another URL.
func image(url string) func(*Pod) {
	return func(p *Pod) { p.Spec.Containers[0].Image = url }
}

// ran makes a pod show that its module serves, installed from a URL, since before noon.
func ran(url string) func(*Pod) {
	return func(p *Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: p.Spec.Containers[0].Name, Image: p.Spec.Containers[0].Image, ImageID: url, Ready: true, ContainerID: "koupleless://b/x",
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon.Add(-30 * time.Second))}},
		}}
	}
}

// unready makes a pod that ran show that it does not any more.
func unready(p *Pod) {
	c := &p.Status.ContainerStatuses[0]
	c.Ready, c.State = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: ReasonInstalling}}
}

// waits makes a pod show why it waits.
func waits(reason string) func(*Pod) {
	return func(p *Pod) {
		p.Status.Phase = corev1.PodPending
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: p.Spec.Containers[0].Name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		}}
	}
}

// revision makes a pod one of a ReplicaSet.
func revision(hash string) func(*Pod) {
	return func(p *Pod) {
		yes := true
		p.Workload = "" // its owner tells
		p.Labels = map[string]string{"pod-template-hash": hash}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "orders-" + hash, UID: types.UID(hash), Controller: &yes}}
	}
}

// bare makes a pod one of no workload, elsewhere one of another namespace.
func bare(p *Pod)      { p.Workload = "" }
func elsewhere(p *Pod) { p.Namespace = "b" }

// numbered makes a pod one of a workload's revision.
func numbered(workload string, revision int64) func(*Pod) {
	return func(p *Pod) { p.Workload, p.Revision = types.UID(workload), revision }
}

// install is a command as the planner makes it for a pod of podFor.
func install(word string, change ...func(*tunnel.Command)) tunnel.Command {
	key := module(word)
	c := tunnel.Command{Verb: tunnel.InstallModule, Module: key, URL: urlOf(key.Name, key.Version)}
	for _, f := range change {
		f(&c)
	}
	return c
}

func replacing(c *tunnel.Command) { c.Replace = true }

func uninstall(word string) tunnel.Command {
	return tunnel.Command{Verb: tunnel.UninstallModule, Module: module(word)}
}

func switchTo(word string) tunnel.Command {
	return tunnel.Command{Verb: tunnel.SwitchModule, Module: module(word)}
}

// sent remembers a command that was sent so long before noon.
func (in Input) sent(c tunnel.Command, before time.Duration, change ...func(*Attempt)) Input {
	in.Memory = in.Memory.clone()
	a := Attempt{Command: c, Pod: "p", Sent: noon.Add(-before)}
	for _, f := range change {
		f(&a)
	}
	in.Memory.Attempts[c.Module.Name] = a
	return in
}

// answered gives an attempt an answer, a second before noon.
func answered(outcome tunnel.Outcome, message string) func(*Attempt) {
	return func(a *Attempt) {
		a.Answer = &tunnel.Answer{Verb: a.Verb, Module: a.Module, Outcome: outcome, Message: message}
		a.Answered = noon.Add(-time.Second)
	}
}

func unanswered(*Attempt) {}

// What failed: an install from a URL, or what has none.
var ofUninstall, ofSwitch = Purpose{Verb: tunnel.UninstallModule}, Purpose{Verb: tunnel.SwitchModule}

func from(url string) Purpose { return Purpose{tunnel.InstallModule, url} }

// commands tells planned commands in words.
func commands(out Output) string {
	var words []string
	for _, c := range out.Commands {
		word := string(c.Verb) + " " + c.Module.String()
		if c.Replace {
			word += " replacing"
		}
		if c.Pod != "" {
			word += " for " + string(c.Pod)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// events tells events in words.
func events(out Output) string {
	var words []string
	for _, e := range out.Events {
		words = append(words, e.Reason+": "+e.Message)
	}
	return strings.Join(words, "; ")
}

// statusIn is the status that a pod should show.
func statusIn(out Output, uid types.UID) PodStatus {
	for _, s := range out.Statuses {
		if s.Pod.UID == uid {
			return s
		}
	}
	return PodStatus{}
}

// shownBy is what a pod's first container should show: Running, or why it waits.
func shownBy(out Output, uid types.UID) string {
	s := statusIn(out, uid)
	if len(s.Status.ContainerStatuses) == 0 {
		return "nothing"
	}
	c := s.Status.ContainerStatuses[0]
	switch {
	case c.State.Running != nil:
		return "Running"
	case c.State.Waiting != nil:
		return c.State.Waiting.Reason + ": " + c.State.Waiting.Message
	}
	return "terminated"
}

// equal says whether two statuses are alike, as who writes them compares them.
func equal(a, b corev1.PodStatus) bool { return equality.Semantic.DeepEqual(a, b) }
