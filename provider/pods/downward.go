package pods

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// host is what environments may refer to of the base that a pod runs on.
type host struct {
	address     string // empty while it is not known
	allocatable corev1.ResourceList
}

var errNoAddress = errors.New("the base's address is not known yet")

// fieldOf gives a field of a pod for an environment, as a kubelet does. The addresses of a
// pod are its base's.
func fieldOf(pod *corev1.Pod, path string, on host) (string, error) {
	switch path {
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
	case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		if on.address == "" {
			return "", errNoAddress
		}
		return on.address, nil
	}
	if key, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[key], nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %s", path)
}

// subscript gives the key of a path such as metadata.labels['key'].
func subscript(path, field string) (key string, ok bool) {
	rest, begins := strings.CutPrefix(path, field+"['")
	key, ends := strings.CutSuffix(rest, "']")
	return key, begins && ends
}

// resourceOf gives a limit or a request of a container for an environment, in units of the
// divisor, rounded up, as a kubelet does. A limit that is not set is what the base has.
func resourceOf(pod *corev1.Pod, container string, ref corev1.ResourceFieldSelector, on host) (string, error) {
	if ref.ContainerName != "" {
		container = ref.ContainerName
	}
	all := slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers)
	i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == container })
	if i < 0 {
		return "", fmt.Errorf("container %s not found", container)
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	var amount resource.Quantity
	switch of := all[i].Resources; kind {
	case "limits":
		set := false
		if amount, set = of.Limits[corev1.ResourceName(name)]; !set {
			amount = on.allocatable[corev1.ResourceName(name)]
		}
	case "requests":
		amount = of.Requests[corev1.ResourceName(name)]
	default:
		return "", fmt.Errorf("unsupported container resource: %s", ref.Resource)
	}
	return inUnits(amount, ref.Divisor, name)
}

// inUnits divides an amount. No divisor is one unit.
func inUnits(amount, divisor resource.Quantity, name string) (string, error) {
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	value := (*resource.Quantity).Value
	switch {
	case name == "cpu":
		value = (*resource.Quantity).MilliValue
	case name == "memory", name == "ephemeral-storage", strings.HasPrefix(name, "hugepages-"):
	default:
		return "", fmt.Errorf("unsupported container resource: %s", name)
	}
	units := math.Ceil(float64(value(&amount)) / float64(value(&divisor)))
	return strconv.FormatInt(int64(units), 10), nil
}
