package plan

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.Policy = cmp.Or(c.Policy, PolicyReport)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.AnswerTimeout = cmp.Or(c.AnswerTimeout, time.Minute)
	c.BackOffFirst = cmp.Or(c.BackOffFirst, 10*time.Second)
	c.BackOffMax = cmp.Or(c.BackOffMax, 5*time.Minute)
	c.MaxContainers = cmp.Or(c.MaxContainers, 64)
	return c
}

// Modules says what the pods of a base should show and which commands to send
// next. It is idempotent: with its own output as what is known, and nothing new
// from the base, it changes nothing.
func Modules(in Input) Output {
	in.Config = in.Config.Complete()
	p := &planner{
		Input:    in,
		listed:   map[tunnel.ModuleKey]tunnel.Module{},
		names:    map[string]*name{},
		keep:     map[tunnel.ModuleKey]bool{},
		leaving:  map[tunnel.ModuleKey]bool{},
		unfit:    map[types.UID]waiting{},
		brought:  map[tunnel.ModuleKey]string{},
		Failures: maps.Clone(in.Failures),
		out: Output{
			Attempts: maps.Clone(in.Attempts), Installed: maps.Clone(in.Installed),
			Unwanted: map[tunnel.ModuleKey]time.Time{},
		},
	}
	makeMaps(p)
	for _, m := range in.List {
		p.listed[m.ModuleKey] = m
	}
	p.readPods()
	if p.acts() {
		p.own()
		p.settleAll()
		for _, n := range p.sortedNames() {
			p.decide(n)
		}
		p.tidy()
		p.out.Inherited = p.inherited()
	} else {
		p.out.Unwanted = maps.Clone(in.Unwanted)
		p.out.Ask = in.Live && in.Conflict == "" && in.Listed.IsZero()
	}
	for _, pod := range p.Pods {
		p.show(pod)
	}
	p.out.Failures = p.Failures
	return p.out
}

func makeMaps(p *planner) {
	if p.out.Attempts == nil {
		p.out.Attempts = map[string]Attempt{}
	}
	if p.out.Installed == nil {
		p.out.Installed = map[tunnel.ModuleKey]bool{}
	}
	if p.Failures == nil {
		p.Failures = map[tunnel.ModuleKey]Failure{}
	}
}

// planner is one run of Modules.
type planner struct {
	Input
	// Failures hides Input.Failures: it is the copy that this run changes.
	Failures map[tunnel.ModuleKey]Failure

	listed map[tunnel.ModuleKey]tunnel.Module
	names  map[string]*name
	// keep has what some live pod asks for, leaving what some leaving pod does.
	keep, leaving map[tunnel.ModuleKey]bool
	unfit         map[types.UID]waiting
	// brought has the URLs of installs found in this run to have succeeded.
	brought map[tunnel.ModuleKey]string
	out     Output
}

// name is one module name on the base: the pods that want it, and what is done
// about it.
type name struct {
	name string
	// wants are the live pods' wishes, the oldest first; target is the one that is
	// to serve. The others are superseded or duplicates.
	wants  []*want
	target *want
	// busy: a command for the name is under way, or its effect is not known yet, or it
	// is pending.
	busy bool
	// pending: a pod that may want it is on its way, so which is to serve is not known.
	pending bool
	// commanded: a command was planned in this run.
	commanded bool
}

// want is one container of a live pod.
type want struct {
	pod  Pod
	key  tunnel.ModuleKey
	url  string
	args []string
	env  map[string]string
	// running is the URL that this pod's module was installed from, as its own
	// status tells; empty when it has not run.
	running string
	// duplicate of an older want; superseded by a newer one.
	duplicate, superseded bool
	// fresh: it takes the same version over from an older revision of its workload,
	// so it is installed once more.
	fresh bool
}

// waiting is why a container waits.
type waiting struct{ reason, message string }

// acts says whether commands may be planned and statuses judged: the base is live,
// it is one base, and its list was read.
func (p *planner) acts() bool { return p.Live && p.Conflict == "" && !p.Listed.IsZero() }

// own counts as installed by this controller what pods ask for: what is listed, and,
// for as long as a command of whoever served the base before may be under way, all
// of it. What becomes of the pods then, no module is left behind as a stranger.
func (p *planner) own() {
	for _, wanted := range []map[tunnel.ModuleKey]bool{p.keep, p.leaving} {
		for key := range wanted {
			if _, there := p.listed[key]; there || p.inherits() {
				p.out.Installed[key] = true
			}
		}
	}
}

// inherits says whether commands of whoever served the base before may be under way.
func (p *planner) inherits() bool { return p.Now.Before(p.Since.Add(p.Config.AnswerTimeout)) }

// inherited is how many modules are starting that whoever served the base before asked
// for. One that is starting for longer than an answer takes is not waited for.
func (p *planner) inherited() int {
	n := 0
	if !p.inherits() {
		return n
	}
	for _, m := range p.List {
		if _, ours := p.out.Attempts[m.Name]; !ours && starting(m) {
			n++
		}
	}
	return n
}

func (p *planner) nameOf(n string) *name {
	if p.names[n] == nil {
		p.names[n] = &name{name: n}
	}
	return p.names[n]
}

func (p *planner) sortedNames() []*name {
	return slices.SortedFunc(maps.Values(p.names), func(a, b *name) int { return cmp.Compare(a.name, b.name) })
}

// readPods sorts the pods, the oldest first, and collects what they want.
func (p *planner) readPods() {
	p.Pods = slices.Clone(p.Pods)
	slices.SortStableFunc(p.Pods, func(a, b Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	for _, pod := range p.Pods {
		switch {
		case pod.Leaving():
			for _, key := range Wanted(pod.Pod) {
				p.leaving[key] = true
				p.nameOf(key.Name)
			}
		case !terminal(pod):
			p.readLive(pod)
		}
	}
	for n := range p.Attempts {
		p.nameOf(n)
	}
	for key := range p.listed {
		p.nameOf(key.Name)
	}
	for _, n := range p.names {
		n.choose()
	}
}

func terminal(pod Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (p *planner) readLive(pod Pod) {
	for _, key := range Wanted(pod.Pod) {
		p.keep[key] = true // even where it is not installed for this pod: it may run already
	}
	if pod.Pending {
		for _, c := range pod.Spec.Containers {
			n := p.nameOf(c.Name)
			n.busy, n.pending = true, true
		}
		return
	}
	if pod.Unresolved != "" {
		p.unfit[pod.UID] = waiting{ReasonConfigError, clip(pod.Unresolved)}
		return
	}
	if why := check(pod.Pod, p.Config.MaxContainers); why != "" {
		p.unfit[pod.UID] = waiting{ReasonInvalid, clip(why)}
		return
	}
	for _, c := range pod.Spec.Containers {
		w := wantOf(pod, c)
		n := p.nameOf(w.key.Name)
		n.wants = append(n.wants, w)
	}
}

// next notes when to plan again.
func (p *planner) next(at time.Time) {
	if p.out.Next.IsZero() || at.Before(p.out.Next) {
		p.out.Next = at
	}
}

func (p *planner) event(pod types.UID, warning bool, reason, message string) {
	p.out.Events = append(p.out.Events, Event{Pod: pod, Warning: warning, Reason: reason, Message: clip(message)})
}
