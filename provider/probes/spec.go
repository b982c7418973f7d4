package probes

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/provider/plan"
)

// key names a module: a container of a pod since it began to serve. What took its place
// has another one.
type key struct {
	pod       types.UID
	container string
	since     int64 // seconds, as statuses have it
	restarts  int32
}

// maxTimeout bounds for how long one probe may keep a worker.
const maxTimeout = 30 * time.Second

// ofContainer gives the probes of a container, by kind; nil where it has none that can be
// made.
func ofContainer(c *corev1.Container) (all [kinds]*corev1.Probe) {
	all = [kinds]*corev1.Probe{startup: c.StartupProbe, readiness: c.ReadinessProbe, liveness: c.LivenessProbe}
	for k, p := range all {
		if p != nil && !madeOverNetwork(p.ProbeHandler) {
			all[k] = nil
		}
	}
	return all
}

// madeOverNetwork says whether a probe can be made from here.
func madeOverNetwork(h corev1.ProbeHandler) bool {
	switch {
	case h.HTTPGet != nil, h.TCPSocket != nil, h.GRPC != nil:
		return true
	}
	return false
}

// hasProbes says whether a container has any probe, made or not.
func hasProbes(c *corev1.Container) bool {
	return slices.ContainsFunc([]*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe}, func(p *corev1.Probe) bool { return p != nil })
}

// timingOf reads when a probe is made. The API server fills in the defaults; what did not
// come from there has them here.
func timingOf(p *corev1.Probe) *timing {
	if p == nil {
		return nil
	}
	seconds := func(n int32) time.Duration { return time.Duration(n) * time.Second }
	return &timing{
		delay:     seconds(p.InitialDelaySeconds),
		period:    seconds(cmp.Or(p.PeriodSeconds, 10)),
		timeout:   min(seconds(cmp.Or(p.TimeoutSeconds, 1)), maxTimeout),
		successes: int(cmp.Or(p.SuccessThreshold, 1)),
		failures:  int(cmp.Or(p.FailureThreshold, 3)),
	}
}

// running is a container whose module serves, with probes.
type running struct {
	key
	seed
	container *corev1.Container
	leaving   bool
}

// runningIn gives what is to be probed of a pod.
func runningIn(pod plan.Pod) (all []running) {
	if pod.Gone {
		return nil
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if !hasProbes(c) {
			continue
		}
		cs := statusOf(pod.Status.ContainerStatuses, c.Name)
		if cs == nil || cs.State.Running == nil {
			continue
		}
		since := cs.State.Running.StartedAt
		all = append(all, running{
			key:       key{pod.UID, c.Name, since.Unix(), cs.RestartCount},
			seed:      seed{since: since, started: isTrue(cs.Started), ready: cs.Ready},
			container: c, leaving: pod.Terminating(),
		})
	}
	return all
}

func statusOf(all []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func isTrue(b *bool) bool {
	if b == nil {
		return false
	}
	return *b
}

// portOf gives the number of a port that may be one of the container's by name.
func portOf(port intstr.IntOrString, c *corev1.Container) (string, error) {
	n := port.IntValue()
	if port.Type == intstr.String {
		i := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
		if i < 0 {
			return "", fmt.Errorf("port %q not found", port.StrVal)
		}
		n = int(c.Ports[i].ContainerPort)
	}
	if n < 1 || n > 65535 {
		return "", fmt.Errorf("invalid port number: %d", n)
	}
	return strconv.Itoa(n), nil
}

// urlOf is what an HTTP probe asks for. A path that is no URL is sent as it is.
func urlOf(get *corev1.HTTPGetAction, host, port string) *url.URL {
	u, err := url.Parse(get.Path)
	if err != nil {
		u = &url.URL{Path: get.Path}
	}
	u.Scheme = strings.ToLower(cmp.Or(string(get.Scheme), "http"))
	u.Host = net.JoinHostPort(host, port)
	return u
}

// userAgent begins as a kubelet's, which servers know.
const userAgent = "kube-probe/module-controller"

// headersOf are an HTTP probe's headers: the pod's, and a kubelet's where it has none.
func headersOf(get *corev1.HTTPGetAction) http.Header {
	h := http.Header{}
	for _, is := range get.HTTPHeaders {
		h.Add(is.Name, is.Value)
	}
	if _, set := h["User-Agent"]; !set {
		h.Set("User-Agent", userAgent)
	}
	accept, set := h["Accept"]
	switch {
	case !set:
		h.Set("Accept", "*/*")
	case accept[0] == "":
		h.Del("Accept")
	}
	return h
}
