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

// interest is what the pods have to do with a module version. The order counts: one
// live pod outweighs any number of terminating ones.
type interest int

const (
	unrequested interest = iota
	released             // terminating pods asked for it, and no live one does
	lingering            // as released, but the pod asks to wait before it is uninstalled
	requested            // a live pod asks for it
)

// demand is what the pods of a base ask for.
type demand struct {
	// pods are all of them, the oldest first.
	pods []Pod
	// names has every module name that a pod asks for, those with a command that was
	// sent, and those that the planner asks for. A base may list many more.
	names     map[string]*name
	interests map[tunnel.ModuleKey]interest
	// releasedBy is the youngest terminating pod that asked for a module.
	releasedBy map[tunnel.ModuleKey]types.UID
	// sources is where a module was installed from, as the youngest pod tells that
	// has run it.
	sources map[tunnel.ModuleKey]string
	// leaves is when the pods let their modules go that ask to wait.
	leaves []time.Time
	// plans are of the live pods that are synced.
	plans map[types.UID]*podPlan
}

// name is one module name on the base: the pods that want it, and what is done about it.
type name struct {
	name string
	// at is how many names were known before: they are worked on in the order in which the
	// pods, the oldest first, and their containers name them.
	at int
	// wants are the containers of live pods that want it, the oldest first.
	wants []*want
	// chosen is the one of them that is to serve; nil where there is none.
	chosen *want
	work   work
}

// work is what keeps a further command for a name back. The order counts: it only
// rises in a run, and from busy on the list is no proof of what will be there.
type work int

const (
	idle      work = iota
	commanded      // a command was planned in this run
	busy           // a command is in flight, or its effect is not known yet
	unsynced       // a pod that may want it is not yet synced: which is to serve is not known
)

// raise notes work; one that is further stays.
func (n *name) raise(w work) { n.work = max(n.work, w) }

// newDemand reads the pods.
func newDemand(in Input, l *list) *demand {
	d := &demand{
		pods: slices.Clone(in.Pods), names: map[string]*name{}, interests: map[tunnel.ModuleKey]interest{},
		releasedBy: map[tunnel.ModuleKey]types.UID{}, sources: map[tunnel.ModuleKey]string{}, plans: map[types.UID]*podPlan{},
	}
	slices.SortStableFunc(d.pods, func(a, b Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	for _, pod := range d.pods {
		d.read(pod, in, l)
	}
	for _, n := range d.names {
		n.choose(l)
	}
	return d
}

// of is what the pods have to do with a module.
func (d *demand) of(key tunnel.ModuleKey) interest { return d.interests[key] }

// name gives a module name, also one that no pod asks for.
func (d *demand) name(n string) *name {
	if d.names[n] == nil {
		d.names[n] = &name{name: n, at: len(d.names)}
	}
	return d.names[n]
}

// workOn is what is done about a name, idle for one that nothing is known of.
func (d *demand) workOn(n string) work {
	if known := d.names[n]; known != nil {
		return known.work
	}
	return idle
}

func (d *demand) sorted() []*name {
	return slices.SortedFunc(maps.Values(d.names), func(a, b *name) int { return cmp.Compare(a.at, b.at) })
}

func (d *demand) read(pod Pod, in Input, l *list) {
	for _, c := range pod.Spec.Containers {
		key, ran := RunsAs(&pod.Status, c.Name)
		if !ran {
			key = keyOf(c)
		}
		if from := installedFrom(pod.Pod, c.Name); from != "" {
			d.sources[key] = from
		}
	}
	switch {
	case pod.Terminating():
		d.readTerminating(pod, in.Now)
	case terminal(pod): // its modules are somebody else's, or nobody's
	default:
		d.readLive(pod, in, l)
	}
}

func (d *demand) readTerminating(pod Pod, now time.Time) {
	is, at := released, leavesAt(pod)
	if now.Before(at) {
		is = lingering
		d.leaves = append(d.leaves, at)
	}
	for _, key := range ModulesOf(pod.Pod) {
		d.name(key.Name)
		d.interests[key] = max(d.interests[key], is)
		d.releasedBy[key] = pod.UID
	}
}

// ModulesOf gives the modules that a pod asks for, and those that its status says it runs:
// they are known also when what it asks for cannot be read any more, or changed.
func ModulesOf(pod *corev1.Pod) []tunnel.ModuleKey {
	keys := Wanted(pod)
	for _, c := range pod.Spec.Containers {
		if key, ran := RunsAs(&pod.Status, c.Name); ran && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func terminal(pod Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (d *demand) readLive(pod Pod, in Input, l *list) {
	for _, key := range ModulesOf(pod.Pod) {
		d.interests[key] = requested // even where it is not installed for this pod: it may run already
	}
	if pod.Unsynced {
		for _, m := range specOf(pod.Pod, in.Config.MaxContainers).modules {
			d.name(m.key.Name).raise(unsynced)
		}
		for _, key := range ModulesOf(pod.Pod) {
			d.name(key.Name).raise(unsynced)
		}
		return
	}
	asked := specOf(pod.Pod, in.Config.MaxContainers)
	pp := &podPlan{pod: pod, asked: asked, unfit: unfit(pod, asked, in)}
	d.plans[pod.UID] = pp
	for _, m := range asked.modules {
		w := pp.wantOf(m, l)
		if w == nil {
			continue
		}
		n := d.name(w.key.Name)
		pp.wants, n.wants = append(pp.wants, w), append(n.wants, w)
	}
}

// unfit says why a pod's modules cannot be installed; zero where they can.
func unfit(pod Pod, asked spec, in Input) waiting {
	if pod.Unresolved != "" {
		return waiting{ReasonConfigError, clip(pod.Unresolved)}
	}
	if asked.invalid != "" {
		return waiting{ReasonInvalid, clip(asked.invalid)}
	}
	return in.withholds(pod)
}
