package plan

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// Limits of what a pod may ask for, in bytes.
const (
	// maxURL has room for a URL that was signed with a session's token.
	maxURL = 8 << 10
	// maxWord is of a module's name or version: a base's list gives no longer one.
	maxWord = 128
	// maxSettings is of a module's arguments and environment. A base reads no command
	// beyond 1 MiB, and JSON may take twice the room.
	maxSettings = 512 << 10
)

// spec is what a pod asks for, read and checked once: nothing that was not checked leaves
// it.
type spec struct {
	// modules are its containers that are modules, in the pod's order. No two of them
	// have one name, unless the pod is invalid.
	modules []moduleSpec
	// invalid is why none of them can be installed, and what to do about it; empty where
	// nothing speaks against the pod as a whole.
	invalid string
}

// moduleSpec is what one container asks for.
type moduleSpec struct {
	container string // its name: statuses go by it
	// key need not have the container's name. Where it is invalid, it is not checked.
	key  tunnel.ModuleKey
	url  string
	args []string
	env  map[string]string
	// invalid is why it cannot be installed, and what to do about it; empty where it can.
	invalid string
}

// specOf reads a pod. Its environment is resolved as far as it could be.
func specOf(pod *corev1.Pod, maxContainers int) spec {
	s := spec{}
	for _, c := range pod.Spec.Containers {
		if isModule(c) {
			s.modules = append(s.modules, moduleSpecOf(c))
		}
	}
	s.invalid = checkPod(pod, s.modules, maxContainers)
	return s
}

func moduleSpecOf(c corev1.Container) moduleSpec {
	m := moduleSpec{container: c.Name, key: keyOf(c), url: c.Image}
	size := 0
	for _, e := range c.Env {
		if namesModule(e) {
			continue
		}
		if m.env == nil {
			m.env = map[string]string{}
		}
		m.env[e.Name] = e.Value
		size += len(e.Name) + len(e.Value)
	}
	if len(c.Args) > 0 && size <= maxSettings {
		m.args = expand(c.Args, m.env)
	}
	for _, arg := range m.args {
		size += len(arg)
	}
	m.invalid = checkContainer(c)
	if m.invalid == "" && size > maxSettings {
		m.invalid = fmt.Sprintf("environment and arguments are longer than the %d bytes that a base reads", maxSettings)
	}
	return m
}

// isModule says whether a container is meant as a module: it says which, or its image is a
// URL. What was injected beside it is neither.
func isModule(c corev1.Container) bool {
	return strings.Contains(c.Image, "://") || slices.ContainsFunc(c.Env, namesModule)
}

// namesModule says whether a variable tells this program which module a container is.
func namesModule(e corev1.EnvVar) bool { return slices.Contains([]string{EnvVersion, EnvName}, e.Name) }

// ModuleOf is the module that a container names, unchecked, with an empty version where it
// has none.
func ModuleOf(c corev1.Container) tunnel.ModuleKey { return keyOf(c) }

// keyOf is the module that a container names, unchecked, with an empty version where it
// has none. Of a variable that is there twice the last one counts, as for a process.
func keyOf(c corev1.Container) tunnel.ModuleKey {
	return tunnel.ModuleKey{Name: cmp.Or(envOf(c, EnvName), c.Name), Version: envOf(c, EnvVersion)}
}

func envOf(c corev1.Container, name string) string {
	for _, e := range slices.Backward(c.Env) {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// checkPod says why nothing of a pod can be installed, whatever its containers are.
func checkPod(pod *corev1.Pod, modules []moduleSpec, maxContainers int) string {
	switch n := len(pod.Spec.Containers) + len(pod.Spec.InitContainers); {
	case n > maxContainers:
		return fmt.Sprintf("the pod has %d containers, at most %d modules in a pod are installed: use several pods", n, maxContainers)
	case len(modules) == 0:
		return "no container is a module: set image to the URL of a jar, and environment variable " + EnvVersion + " to its version"
	}
	by := map[string]string{}
	for _, m := range modules {
		if first, twice := by[m.key.Name]; twice {
			return fmt.Sprintf("containers %s and %s name one module, which is installed once: use several pods, or set %s", first, m.container, EnvName)
		}
		by[m.key.Name] = m.container
	}
	return ""
}

// checkContainer says why a container names no module that can be installed.
func checkContainer(c corev1.Container) string {
	if why := checkKey(keyOf(c)); why != "" {
		return why
	}
	switch {
	case c.Image == "":
		return "image is missing: set it to the URL of the module's jar"
	case len(c.Image) > maxURL:
		return fmt.Sprintf("image has %d bytes, at most %d make a URL", len(c.Image), maxURL)
	case unprintable(c.Image):
		return "image has characters that cannot be printed: set it to the URL of the module's jar"
	case !isJar(c.Image):
		return fmt.Sprintf("image %q is no URL of a jar: it must begin with file://, http:// or https://", redact(c.Image))
	}
	return ""
}

func checkKey(key tunnel.ModuleKey) string {
	const word = ": at most 128 letters, digits, '.', '-', '_' and '+'"
	switch {
	case key.Version == "":
		return "environment variable " + EnvVersion + " is missing: set it to the module's version as in its pom"
	case !isWord(key.Version):
		return EnvVersion + " is no version" + word
	case !isWord(key.Name):
		return EnvName + " is no module's name" + word
	}
	return ""
}

// wordRunes are those that need no further check in a name or version.
const wordRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+"

// isWord says whether a text can be a module's name or version: a list that has it is read
// as it was written, and so is the Node's annotation.
func isWord(text string) bool {
	switch {
	case text == "", len(text) > maxWord:
		return false
	case strings.Trim(text, wordRunes) == "":
		return true
	}
	return !strings.ContainsAny(text, ":/, ") && tunnel.Say(text, maxWord) == text
}

// isJar says whether an image is a URL that a base can read a jar from.
func isJar(image string) bool {
	u, err := url.Parse(image)
	return err == nil && slices.Contains(jarSchemes, u.Scheme)
}

// jarSchemes are those of URLs that a base reads.
var jarSchemes = []string{"file", "http", "https"}

// Wanted gives the modules that a pod's containers name. One that names none that there can
// be is left out; one that is wanted from a bad URL may run already.
func Wanted(pod *corev1.Pod) []tunnel.ModuleKey {
	var keys []tunnel.ModuleKey
	for _, c := range pod.Spec.Containers {
		if key := keyOf(c); isModule(c) && checkKey(key) == "" {
			keys = append(keys, key)
		}
	}
	return keys
}
