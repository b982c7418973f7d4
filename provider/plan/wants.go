package plan

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// Limits of what a pod may ask for, in bytes.
const (
	maxURL     = 2 << 10
	maxVersion = 128
)

// check says why a pod names no modules that could be installed, and what to do
// about it; empty when it does.
func check(pod *corev1.Pod, maxContainers int) string {
	if n := len(pod.Spec.InitContainers); n > 0 {
		return fmt.Sprintf("the pod has %d init containers, which a base cannot run: remove them", n)
	}
	if n := len(pod.Spec.Containers); n > maxContainers {
		return fmt.Sprintf("the pod has %d containers, at most %d modules in a pod are installed: use several pods", n, maxContainers)
	}
	seen := map[string]bool{}
	for _, c := range pod.Spec.Containers {
		if why := checkContainer(c); why != "" {
			return fmt.Sprintf("container %s: %s", c.Name, why)
		}
		if seen[c.Name] {
			return fmt.Sprintf("container %s is there twice: a module is installed once", c.Name)
		}
		seen[c.Name] = true
	}
	return ""
}

func checkContainer(c corev1.Container) string {
	version := versionOf(c)
	switch {
	case version == "":
		return "environment variable " + EnvVersion + " is missing: set it to the module's version as in its pom"
	case len(version) > maxVersion || strings.ContainsAny(version, ":/, ") || hasControl(version):
		return EnvVersion + " is no version: at most 128 letters, digits, '.', '-', '_' and '+'"
	case c.Image == "":
		return "image is missing: set it to the URL of the module's jar"
	case len(c.Image) > maxURL:
		return fmt.Sprintf("image has %d bytes, at most %d make a URL", len(c.Image), maxURL)
	case hasControl(c.Image):
		return "image has control characters: set it to the URL of the module's jar"
	}
	u, err := url.Parse(c.Image)
	if err != nil || u.Scheme != "file" && u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Sprintf("image %q is no URL of a jar: it must begin with file://, http:// or https://", redact(c.Image))
	}
	return ""
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// redact hides what a URL may keep secret: its password and its query.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	if u.RawQuery != "" {
		u.RawQuery = "xxxxx"
	}
	return u.Redacted()
}

func versionOf(c corev1.Container) string {
	for _, e := range c.Env {
		if e.Name == EnvVersion {
			return e.Value
		}
	}
	return ""
}

func wantOf(pod Pod, c corev1.Container) *want {
	w := &want{pod: pod, key: tunnel.ModuleKey{Name: c.Name, Version: versionOf(c)}, url: c.Image}
	for _, e := range c.Env {
		if e.Name == EnvVersion {
			continue
		}
		if w.env == nil {
			w.env = map[string]string{}
		}
		w.env[e.Name] = e.Value
	}
	if len(c.Args) > 0 {
		w.args = expand(c.Args, w.env)
	}
	w.running = installedFrom(pod.Pod, c.Name)
	return w
}

// installedFrom is the URL that a pod's module was installed from when it last ran.
func installedFrom(pod *corev1.Pod, container string) string {
	if s := statusOf(pod, container); s != nil {
		return s.ImageID
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

// choose says which want is to serve: the newest version, and of pods that want
// the same version the oldest, unless a newer one is a later revision of the same
// workload.
func (n *name) choose() {
	slices.SortStableFunc(n.wants, compareWants)
	for i, w := range n.wants {
		if n.target != nil && w.key == n.target.key {
			if !laterRevision(n.target.pod.Pod, w.pod.Pod) {
				w.duplicate = true
				continue
			}
			w.fresh = w.running == ""
		}
		for _, older := range n.wants[:i] {
			older.superseded, older.duplicate = true, false
		}
		n.target = w
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
// one that waits.
func seniority(w *want) int {
	s := statusOf(w.pod.Pod, w.key.Name)
	switch {
	case s == nil:
		return 3
	case s.State.Waiting != nil && s.State.Waiting.Reason == ReasonSuperseded:
		return 0
	case s.State.Running != nil:
		return 1
	}
	return 2
}

// laterRevision says whether two pods are of different revisions of one workload.
func laterRevision(older, newer *corev1.Pod) bool {
	a, b := metav1.GetControllerOf(older), metav1.GetControllerOf(newer)
	if a == nil || b == nil || a.Kind != b.Kind {
		return false
	}
	for _, label := range []string{"pod-template-hash", "controller-revision-hash"} {
		was, is := older.Labels[label], newer.Labels[label]
		if was != "" && is != "" && was != is {
			return true
		}
	}
	return false
}

// atOnce says whether a pod's module replaces another version at once.
func (w *want) atOnce() bool { return w.pod.Annotations[AnnotationReplace] == ReplaceAtOnce }
