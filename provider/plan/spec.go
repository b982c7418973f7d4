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
