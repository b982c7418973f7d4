package plan

import (
	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// podPlan is a live pod, what it asks for, and what follows.
type podPlan struct {
	pod   Pod
	asked spec
	// unfit is why none of its modules can be installed; zero where they can.
	unfit waiting
	// wants are its modules that can be installed, or that are kept, in the pod's order.
	wants []*want
}

// wantOf is what a container wants; nil for nothing. That another one is invalid is told
// there, and touches no other.
func (pp *podPlan) wantOf(m moduleSpec, l *list) *want {
	kept := pp.unfit != (waiting{}) || m.invalid != ""
	if kept {
		key, runs := keptAs(pp.pod.Pod, m)
		if !runs || !l.of(key).outlasts() {
			return nil
		}
		m.key = key
	} else {
		m = pin(pp.pod, m, l)
	}
	w := wantOf(pp.pod, m)
	w.of, w.kept = pp, kept
	return w
}

// keptAs is the module that a container runs, as its status tells; false where it runs none.
func keptAs(pod *corev1.Pod, m moduleSpec) (tunnel.ModuleKey, bool) {
	if key, ran := RunsAs(&pod.Status, m.container); ran {
		return key, true
	}
	return m.key, running(statusOf(pod, m.container)) && checkKey(m.key) == ""
}

// want gives what a container wants; nil for nothing that can be installed or is kept.
func (pp *podPlan) want(container string) *want {
	if pp == nil {
		return nil
	}
	for _, w := range pp.wants {
		if w.container == container {
			return w
		}
	}
	return nil
}

// invalid is why a container cannot be installed; empty where it can.
func (pp *podPlan) invalid(container string) string {
	for _, m := range pp.asked.modules {
		if m.container == container {
			return m.invalid
		}
	}
	return ""
}

// want is one module of a live pod.
type want struct {
	moduleSpec
	of       *podPlan
	pod      Pod
	workload string // see workloadOf
	// running is the source that this pod's module was installed from, as its own
	// status tells; empty when it has not run.
	running string
	role    role
	// kept: the pod runs the module, and what it asks for cannot be read now. Nothing is
	// installed for it, but it has its place as before. key is what it runs; url, args and
	// env are not used.
	kept bool
	// fresh: it takes the same version over from an older revision of its workload,
	// so it is installed once more.
	fresh bool
	// restored: it is given its place back, so it takes over though its pod cannot whole.
	restored bool
	// handedOn: its module was installed anew just now for another pod of the same version.
	handedOn bool
}

func wantOf(pod Pod, m moduleSpec) *want {
	return &want{moduleSpec: m, pod: pod, workload: workloadOf(pod), running: installedFrom(pod.Pod, m.container)}
}

// purpose is what an install of the module is for.
func (w *want) purpose() Purpose { return Purpose{tunnel.InstallModule, w.url} }

// atOnce says whether a pod's module replaces another version at once.
func (w *want) atOnce() bool { return w.pod.Annotations[AnnotationReplace] == ReplaceAtOnce }

// pin keeps what a container asks for as it was when its module started, while that is
// there: a ConfigMap that gave its version and changed since changes nothing that runs.
func pin(pod Pod, m moduleSpec, l *list) moduleSpec {
	key, ran := RunsAs(&pod.Status, m.container)
	switch {
	case !ran, !l.of(key).listed(), installedFrom(pod.Pod, m.container) != sourceOf(m.url):
		return m
	}
	m.key = key
	return m
}

// ran says whether a want's module served for it, now or before.
func (w *want) ran() bool {
	s := statusOf(w.pod.Pod, w.container)
	return s != nil && s.ContainerID != ""
}

// beside says of a want in this state that it can go on though another version serves.
func (w *want) beside(is wantState) bool { return is == wantAbsent && !w.atOnce() }

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

// running says of a container that it shows that its module serves.
func running(s *corev1.ContainerStatus) bool { return s != nil && s.State.Running != nil }

// waitsFor is the reason that a container shows for waiting; empty where it waits for
// nothing or shows nothing.
func waitsFor(s *corev1.ContainerStatus) string {
	if s == nil || s.State.Waiting == nil {
		return ""
	}
	return s.State.Waiting.Reason
}
