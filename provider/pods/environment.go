package pods

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"module-controller/provider/plan"
)

// reference names a Secret or a ConfigMap that an environment refers to.
type reference struct {
	kind            string // kindSecret or kindConfigMap
	namespace, name string
}

const (
	kindSecret    = "secret"
	kindConfigMap = "configmap"
)

func (r reference) String() string { return fmt.Sprintf("%s %q", r.kind, r.name) }

// source is what a reference leads to: its values, or why it could not be read.
type source struct {
	values map[string]string // is not changed
	err    error
}

// maxEnvironment bounds the values of one container, in bytes: variables that refer to each
// other could grow without end. No base is sent as much.
const maxEnvironment = 1 << 20

// refers says whether any of a pod's environments refers to anything, be it to the pod.
func refers(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		return len(c.EnvFrom) > 0 || slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil })
	})
}

// referencesOf are what a pod's containers refer to, each once.
func referencesOf(pod *corev1.Pod) []reference {
	set := map[reference]bool{}
	for _, c := range pod.Spec.Containers {
		for _, from := range c.EnvFrom {
			if ref, _, ok := fromOf(pod.Namespace, from); ok {
				set[ref] = true
			}
		}
		for _, e := range c.Env {
			if ref, _, _, ok := keyOfVar(pod.Namespace, e.ValueFrom); ok {
				set[ref] = true
			}
		}
	}
	return slices.Collect(maps.Keys(set))
}

// fromOf is what an envFrom refers to.
func fromOf(namespace string, from corev1.EnvFromSource) (ref reference, optional, ok bool) {
	switch {
	case from.ConfigMapRef != nil:
		return reference{kindConfigMap, namespace, from.ConfigMapRef.Name}, isTrue(from.ConfigMapRef.Optional), true
	case from.SecretRef != nil:
		return reference{kindSecret, namespace, from.SecretRef.Name}, isTrue(from.SecretRef.Optional), true
	}
	return reference{}, false, false
}

// keyOfVar is what a variable refers to, and with which key.
func keyOfVar(namespace string, from *corev1.EnvVarSource) (ref reference, key string, optional, ok bool) {
	switch {
	case from == nil:
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		return reference{kindConfigMap, namespace, r.Name}, r.Key, isTrue(r.Optional), true
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		return reference{kindSecret, namespace, r.Name}, r.Key, isTrue(r.Optional), true
	}
	return reference{}, "", false, false
}

func isTrue(b *bool) bool { return b != nil && *b }

// environment resolves the environment of one container, as a kubelet does: what env names
// overrides what envFrom brings, and values may refer to what is set before them. Services
// are left out: a module shares its JVM with others, and finds Services by DNS.
type environment struct {
	pod     *corev1.Pod
	on      host
	sources map[reference]source

	// what is set so far
	values  map[string]string
	order   []string // of values' names
	longest int      // of the names, in bytes
	size    int      // of the values, in bytes
	// skipped are keys that can be no names of variables.
	skipped []string
}

// resolve gives a container's environment, each name once, and the keys of what it refers
// to that were skipped, for they can be no names.
func resolve(pod *corev1.Pod, c corev1.Container, sources map[reference]source, on host) (env []corev1.EnvVar, skipped []string, err error) {
	e := &environment{pod: pod, on: on, sources: sources, values: map[string]string{}}
	for _, from := range c.EnvFrom {
		if err := e.addAll(from); err != nil {
			return nil, nil, err
		}
	}
	for _, v := range c.Env {
		if err := e.add(c.Name, v); err != nil {
			return nil, nil, err
		}
		if e.size > maxEnvironment {
			return nil, nil, fmt.Errorf("the environment of container %s has more than %d bytes", c.Name, maxEnvironment)
		}
	}
	for _, name := range e.order {
		env = append(env, corev1.EnvVar{Name: name, Value: e.values[name]})
	}
	slices.Sort(e.skipped)
	return env, e.skipped, nil
}

// read gives the values of a reference; none where it is optional and not there. One that
// is optional and cannot be read may be there: what it says must not be missed.
func (e *environment) read(ref reference, optional bool) (values map[string]string, err error) {
	s := e.sources[ref]
	switch {
	case s.err == nil:
		return s.values, nil
	case !apierrors.IsNotFound(s.err):
		return nil, fmt.Errorf("cannot read %s: %w", ref, s.err)
	case optional:
		return nil, nil
	}
	return nil, fmt.Errorf("%s not found", ref)
}

// addAll sets all that an envFrom brings.
func (e *environment) addAll(from corev1.EnvFromSource) error {
	ref, optional, ok := fromOf(e.pod.Namespace, from)
	if !ok {
		return nil
	}
	values, err := e.read(ref, optional)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := from.Prefix + key
		if len(validation.IsRelaxedEnvVarName(name)) > 0 {
			e.skipped = append(e.skipped, fmt.Sprintf("%s of %s", name, ref))
			continue
		}
		e.set(name, values[key])
	}
	return nil
}

// add sets a variable, unless it refers to something optional that is not there.
func (e *environment) add(container string, v corev1.EnvVar) error {
	if ref, key, optional, ok := keyOfVar(e.pod.Namespace, v.ValueFrom); ok {
		return e.addKey(v.Name, ref, key, optional)
	}
	value, err := "", error(nil)
	switch from := v.ValueFrom; {
	case from == nil:
		value = plan.Expand(v.Value, e.values, e.longest)
	case from.FieldRef != nil:
		value, err = fieldOf(e.pod, from.FieldRef.FieldPath, e.on)
	case from.ResourceFieldRef != nil:
		value, err = resourceOf(e.pod, container, *from.ResourceFieldRef, e.on)
	default:
		err = fmt.Errorf("variable %s refers to what is not supported here", v.Name)
	}
	if err != nil {
		return err
	}
	e.set(v.Name, value)
	return nil
}

func (e *environment) addKey(name string, ref reference, key string, optional bool) error {
	values, err := e.read(ref, optional)
	if err != nil {
		return err
	}
	value, there := values[key]
	switch {
	case there:
		e.set(name, value)
	case !optional:
		return fmt.Errorf("couldn't find key %s in %s", key, ref)
	}
	return nil
}

func (e *environment) set(name, value string) {
	if _, there := e.values[name]; !there {
		e.order = append(e.order, name)
	}
	e.size += len(name) + len(value)
	e.longest = max(e.longest, len(name))
	e.values[name] = value
}
