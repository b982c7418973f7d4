package plan

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// Limits of what a pod may ask for, in bytes.
const (
	maxURL     = 2 << 10
	maxVersion = 128
)

// spec is what a pod asks for, read and checked once: nothing that was not checked leaves
// it.
type spec struct {
	// modules are its containers that are modules, in the pod's order.
	modules []moduleSpec
	// invalid is why none of them can be installed, and what to do about it; empty where
	// nothing speaks against the pod as a whole.
	invalid string
}

// moduleSpec is what one container asks for.
type moduleSpec struct {
	container string // its name: statuses go by it
	key       tunnel.ModuleKey
	url       string
	args      []string
	env       map[string]string
	// invalid is why it cannot be installed, and what to do about it; empty where it can.
	invalid string
}

// specOf reads a pod. Its environment is resolved as far as it could be.
func specOf(pod *corev1.Pod, maxContainers int) spec {
	s := spec{invalid: checkPod(pod, maxContainers)}
	for _, c := range pod.Spec.Containers {
		s.modules = append(s.modules, moduleSpecOf(c))
	}
	return s
}

func moduleSpecOf(c corev1.Container) moduleSpec {
	m := moduleSpec{container: c.Name, key: tunnel.ModuleKey{Name: c.Name, Version: versionOf(c)}, url: c.Image, invalid: checkContainer(c)}
	for _, e := range c.Env {
		if e.Name == EnvVersion {
			continue
		}
		if m.env == nil {
			m.env = map[string]string{}
		}
		m.env[e.Name] = e.Value
	}
	if len(c.Args) > 0 {
		m.args = expand(c.Args, m.env)
	}
	return m
}

// checkPod says why nothing of a pod can be installed, whatever its containers are.
func checkPod(pod *corev1.Pod, maxContainers int) string {
	if n := len(pod.Spec.InitContainers); n > 0 {
		return fmt.Sprintf("the pod has %d init containers, which a base cannot run: remove them", n)
	}
	if n := len(pod.Spec.Containers); n > maxContainers {
		return fmt.Sprintf("the pod has %d containers, at most %d modules in a pod are installed: use several pods", n, maxContainers)
	}
	seen := map[string]bool{}
	for _, c := range pod.Spec.Containers {
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
	case len(version) > maxVersion, strings.ContainsAny(version, ":/, "), unprintable(version):
		return EnvVersion + " is no version: at most 128 letters, digits, '.', '-', '_' and '+'"
	case c.Image == "":
		return "image is missing: set it to the URL of the module's jar"
	case len(c.Image) > maxURL:
		return fmt.Sprintf("image has %d bytes, at most %d make a URL", len(c.Image), maxURL)
	case unprintable(c.Image):
		return "image has characters that cannot be printed: set it to the URL of the module's jar"
	}
	if !slices.Contains([]string{"file", "http", "https"}, schemeOf(c.Image)) {
		return fmt.Sprintf("image %q is no URL of a jar: it must begin with file://, http:// or https://", redact(c.Image))
	}
	return ""
}

// schemeOf is a URL's scheme; empty where it has none or is not a URL.
func schemeOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme
}

func versionOf(c corev1.Container) string {
	for _, e := range c.Env {
		if e.Name == EnvVersion {
			return e.Value
		}
	}
	return ""
}

// Wanted gives the modules that a pod's containers name. A container without a
// version names none.
func Wanted(pod *corev1.Pod) []tunnel.ModuleKey {
	var keys []tunnel.ModuleKey
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == EnvVersion && e.Value != "" {
				keys = append(keys, tunnel.ModuleKey{Name: c.Name, Version: e.Value})
				break
			}
		}
	}
	return keys
}
