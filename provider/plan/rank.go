package plan

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// Who serves, of the pods that want one module name on a base:
//
//   - Of several workloads the one that has the name, else the one with the oldest pod. It
//     keeps the name until its pods are gone, whatever the others want: no two workloads
//     take turns, and nothing that serves is restarted for another workload.
//   - Of the pods of one workload those of the revision that it wants, which has the largest
//     number. A rollback numbers an old revision anew, so its pod wins although it may be
//     the oldest. Where numbers are not known the newest pod wins.
//   - Of the pods of one revision that want the same version, the oldest.

// role is what a want is among those of its name. Exactly one is chosen.
type role int

const (
	chosen     role = iota // it is to serve
	superseded             // another one of its workload is to serve instead
	duplicate              // another one is to serve the same version already
	contested              // another workload has the name, for another version
)

// tenure is how firmly a want holds its name against those of other workloads. The order
// counts.
type tenure int

const (
	newcomer  tenure = iota // it shows nothing yet, or that another workload has the name
	trying                  // it is being installed, failed, or is superseded
	suiting                 // as a newcomer, but its version serves already, for a pod that is gone
	beginning               // as trying, and its version serves: it is about to show that
	holding                 // its module serves for it
)

// choose says which want is to serve.
func (n *name) choose(l *list) {
	if len(n.wants) == 0 {
		return
	}
	holder := slices.MinFunc(n.wants, func(a, b *want) int {
		return cmp.Or(cmp.Compare(b.tenure(l), a.tenure(l)), compareWants(a, b))
	})
	own := slices.DeleteFunc(slices.Clone(n.wants), func(w *want) bool { return w.workload != holder.workload })
	slices.SortStableFunc(own, order(own))
	n.appoint(own)
	for _, w := range n.wants {
		switch {
		case w.workload == holder.workload:
		case n.has(w.key):
			w.role = duplicate
		default:
			w.role = contested
		}
	}
	rivals := slices.DeleteFunc(n.wants, func(w *want) bool { return w.workload == holder.workload })
	n.wants = append(rivals, own...)
}

// appoint chooses among the wants of one workload, which stand in their order.
func (n *name) appoint(own []*want) {
	for i, w := range own {
		if n.has(w.key) {
			if !laterRevision(n.chosen.pod, w.pod) {
				w.role = duplicate
				continue
			}
			w.fresh = w.running == ""
		}
		for _, older := range own[:i] {
			older.role = superseded
		}
		n.chosen = w
	}
}

// has says whether the chosen want is for this version.
func (n *name) has(key tunnel.ModuleKey) bool { return n.chosen != nil && n.chosen.key == key }

func (w *want) tenure(l *list) tenure {
	s, serves := statusOf(w.pod.Pod, w.container), l.of(w.key) == serving
	switch {
	case running(s):
		return holding
	case !tries(s) && serves:
		return suiting
	case !tries(s):
		return newcomer
	case serves:
		return beginning
	}
	return trying
}

// tries says of a container that its module was worked on.
func tries(s *corev1.ContainerStatus) bool {
	return s != nil && !slices.Contains([]string{ReasonDuplicate, ReasonConflict}, waitsFor(s))
}

// order compares wants of one workload so that the one that is to serve comes last.
func order(wants []*want) func(a, b *want) int {
	if slices.ContainsFunc(wants, func(w *want) bool { return w.pod.Revision == 0 }) {
		return compareWants // numbers that only some have put nothing in an order
	}
	return func(a, b *want) int {
		return cmp.Or(cmp.Compare(a.pod.Revision, b.pod.Revision), compareWants(a, b))
	}
}

// compareWants puts the older want first. Creation times are whole seconds: where
// they are equal, what the pods show tells which was there first, so that the order
// stays as it was once it was seen.
func compareWants(a, b *want) int {
	return cmp.Or(a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time),
		cmp.Compare(seniority(a), seniority(b)), cmp.Compare(a.pod.UID, b.pod.UID))
}

// seniority is lowest for a pod that was superseded, then comes one that runs, then
// one that waits, then one that shows nothing yet.
func seniority(w *want) int {
	s := statusOf(w.pod.Pod, w.container)
	switch {
	case s == nil:
		return 3
	case waitsFor(s) == ReasonSuperseded:
		return 0
	case s.State.Running != nil:
		return 1
	}
	return 2
}

// hashLabels tell of which revision of its workload a pod is.
var hashLabels = []string{"pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"}

// laterRevision says whether the newer of two pods of one workload is of another revision.
func laterRevision(older, newer Pod) bool {
	if older.Revision != 0 && newer.Revision != 0 {
		return older.Revision != newer.Revision
	}
	return slices.ContainsFunc(hashLabels, func(label string) bool {
		was, is := older.Labels[label], newer.Labels[label]
		return was != "" && is != "" && was != is
	})
}

// workloadOf tells the workloads of pods apart. The pods of a namespace that have no
// controller are one, whose newest pod wins: who applies one after the other means that.
// Where only the owner is known, a ReplicaSet's pods are those of the workload that its name
// begins with.
func workloadOf(pod Pod) string {
	owner := metav1.GetControllerOf(pod.Pod)
	switch {
	case pod.Workload != "":
		return string(pod.Workload)
	case owner == nil:
		return "Pod/" + pod.Namespace
	}
	for _, label := range hashLabels {
		hash := pod.Labels[label]
		if hash == "" {
			continue
		}
		if of, is := strings.CutSuffix(owner.Name, "-"+hash); is {
			return owner.Kind + "/" + pod.Namespace + "/" + of
		}
	}
	return string(owner.UID)
}
