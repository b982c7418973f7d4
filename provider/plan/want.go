package plan

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// want is one container of a live pod.
type want struct {
	pod  Pod
	key  tunnel.ModuleKey
	url  string // never empty
	args []string
	env  map[string]string
	// running is the URL that this pod's module was installed from, as its own
	// status tells; empty when it has not run.
	running string
	role    role
	// fresh: it takes the same version over from an older revision of its workload,
	// so it is installed once more.
	fresh bool
}

// role is what a want is among those of its name. Exactly one is chosen.
type role int

const (
	chosen     role = iota // it is to serve
	superseded             // a younger one is to serve instead
	duplicate              // an older one has the same version already
)

func wantOf(pod Pod, m moduleSpec) *want {
	return &want{pod: pod, key: m.key, url: m.url, args: m.args, env: m.env, running: installedFrom(pod.Pod, m.container)}
}

// atOnce says whether a pod's module replaces another version at once.
func (w *want) atOnce() bool { return w.pod.Annotations[AnnotationReplace] == ReplaceAtOnce }

// choose says which want is to serve: the newest version, and of pods that want
// the same version the oldest, unless a newer one is a later revision of the same
// workload.
func (n *name) choose() {
	slices.SortStableFunc(n.wants, compareWants)
	for i, w := range n.wants {
		if n.has(w.key) {
			if !laterRevision(n.chosen.pod.Pod, w.pod.Pod) {
				w.role = duplicate
				continue
			}
			w.fresh = w.running == ""
		}
		for _, older := range n.wants[:i] {
			older.role = superseded
		}
		n.chosen = w
	}
}

// has says whether the chosen want is for this version.
func (n *name) has(key tunnel.ModuleKey) bool { return n.chosen != nil && n.chosen.key == key }

// oldest is the oldest want for a version, which is no duplicate; nil where there is none.
func (n *name) oldest(key tunnel.ModuleKey) *want {
	for _, w := range n.wants {
		if w.key == key {
			return w
		}
	}
	return nil
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
	s := statusOf(w.pod.Pod, w.key.Name)
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

// laterRevision says whether two pods are of different revisions of one workload.
func laterRevision(older, newer *corev1.Pod) bool {
	kind := ownerKind(older)
	if kind == "" || kind != ownerKind(newer) {
		return false
	}
	for _, label := range []string{"pod-template-hash", "controller-revision-hash"} {
		was, is := older.Labels[label], newer.Labels[label]
		if was == "" || is == "" {
			continue
		}
		if was != is {
			return true
		}
	}
	return false
}

// ownerKind is the kind of the workload that made a pod; empty where none did.
func ownerKind(pod *corev1.Pod) string {
	if owner := metav1.GetControllerOf(pod); owner != nil {
		return owner.Kind
	}
	return ""
}

// installedFrom is the source that a pod's module was installed from when it last ran.
func installedFrom(pod *corev1.Pod, container string) string {
	if s := statusOf(pod, container); s != nil {
		return sourceOf(s.ImageID)
	}
	return ""
}

func statusOf(pod *corev1.Pod, container string) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == container {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// waitsFor is the reason that a container shows for waiting; empty where it waits for
// nothing or shows nothing.
func waitsFor(s *corev1.ContainerStatus) string {
	if s == nil || s.State.Waiting == nil {
		return ""
	}
	return s.State.Waiting.Reason
}
