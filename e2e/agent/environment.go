package agent

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/process"
)

// environment gives a process's environment: the manifest's, where over does not
// win, and over.
func environment(pod *corev1.Pod, over map[string]string) (map[string]string, error) {
	env := map[string]string{"PATH": os.Getenv("PATH"), "HOME": "/"}
	maps.Copy(env, over)
	for _, v := range pod.Spec.Containers[0].Env {
		if _, wins := over[v.Name]; wins {
			continue
		}
		if v.ValueFrom == nil {
			env[v.Name] = expand(v.Value, env)
			continue
		}
		value, err := field(pod, v.ValueFrom)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		env[v.Name] = value
	}
	return env, nil
}

// field gives what of the pod a variable shows.
func field(pod *corev1.Pod, from *corev1.EnvVarSource) (string, error) {
	if from.FieldRef == nil {
		return "", fmt.Errorf("the agent supports values and fieldRef only")
	}
	switch path := from.FieldRef.FieldPath; path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.hostIP":
		return podIP, nil
	default:
		return "", fmt.Errorf("the agent does not support fieldRef %s", path)
	}
}

var reference = regexp.MustCompile(`\$\$|\$\([-._a-zA-Z][-._a-zA-Z0-9]*\)`)

// expand puts variables in, as Kubernetes does: $(NAME), unless it is not known, and
// $$ for one $.
func expand(s string, env map[string]string) string {
	return reference.ReplaceAllStringFunc(s, func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, known := env[found[2:len(found)-1]]; known {
			return value
		}
		return found
	})
}

// overrides gives the environment that wins over the manifest's: free ports, and
// what Options.Env says.
func (a *Agent) overrides(pod *corev1.Pod) (map[string]string, error) {
	over := map[string]string{}
	for _, p := range pod.Spec.Containers[0].Ports {
		form, moved := a.o.Ports[p.Name]
		if !moved {
			continue
		}
		port, err := process.FreePort()
		if err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(form, "=")
		over[name] = fmt.Sprintf(value, port)
	}
	if a.o.Env != nil {
		maps.Copy(over, a.o.Env(pod))
	}
	return over, nil
}

// portsOf gives where a process listens, by the name of the port: where its
// environment says, else where its manifest does.
func (a *Agent) portsOf(c corev1.Container, env map[string]string) (map[string]int, error) {
	ports := map[string]int{}
	for _, p := range c.Ports {
		ports[p.Name] = int(p.ContainerPort)
		form, moved := a.o.Ports[p.Name]
		if !moved {
			continue
		}
		variable, _, _ := strings.Cut(form, "=")
		value := env[variable]
		port, err := strconv.Atoi(value[strings.LastIndexByte(value, ':')+1:])
		if err != nil {
			return nil, fmt.Errorf("find port %s in %s=%s: %w", p.Name, variable, value, err)
		}
		ports[p.Name] = port
	}
	return ports, nil
}
