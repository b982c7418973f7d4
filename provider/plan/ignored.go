package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// ReasonIgnored is of the Event that tells what of a pod a base cannot do. A pod is told it
// once, when it first shows something, and again only of what an update adds.
//
// Named is what somebody asked for and would miss. What the API server or an admission
// controller puts into every pod is not: service account tokens, security contexts, image
// pull secrets.
const ReasonIgnored = "Ignored"

// tellIgnored tells what of a pod is ignored. What was told shows in its status, so nothing
// is remembered elsewhere.
func (r reporter) tellIgnored(pod Pod) {
	var told []string
	if len(pod.Status.ContainerStatuses) == 0 {
		told = ignoredOf(pod)
	}
	spec := pod.declared()
	for _, c := range spec.EphemeralContainers {
		if named(pod.Status.EphemeralContainerStatuses, c.Name) == nil {
			told = append(told, fmt.Sprintf("ephemeralContainers[%s]", c.Name))
		}
	}
	for _, c := range pod.Spec.Containers {
		if resized(c, statusOf(pod.Pod, c.Name)) {
			told = append(told, fmt.Sprintf("%s: a change of resources, which counts for the scheduler only", c.Name))
		}
	}
	if len(told) > 0 {
		r.out.event(pod.UID, true, ReasonIgnored, "what a base cannot do: "+strings.Join(told, "; "))
	}
}

// declared is a pod's spec as it was written, as far as that is known.
func (p Pod) declared() *corev1.PodSpec {
	if p.Declared != nil {
		return p.Declared
	}
	return &p.Spec
}

// ignoredOf names what of a pod is ignored, that of its modules first.
func ignoredOf(pod Pod) []string {
	spec := pod.declared()
	var told []string
	for _, c := range spec.Containers {
		if !isModule(c) {
			continue
		}
		if fields := ignoredFields(c, spec); len(fields) > 0 {
			told = append(told, c.Name+": "+strings.Join(fields, ", "))
		}
	}
	if fields := ignoredPodFields(spec); len(fields) > 0 {
		told = append(told, strings.Join(fields, ", "))
	}
	if how := pod.Annotations[AnnotationReplace]; !slices.Contains([]string{"", ReplaceBeside, ReplaceAtOnce}, how) {
		told = append(told, fmt.Sprintf("annotation %s: %q is neither %s nor %s", AnnotationReplace, clipWord(how), ReplaceBeside, ReplaceAtOnce))
	}
	if names := foreigners(spec); len(names) > 0 {
		text := fmt.Sprintf("containers that are no modules are not run [%s]", strings.Join(names, " "))
		if how := keepOut(names); how != "" {
			text += ", to keep them out: " + how
		}
		told = append(told, text)
	}
	return told
}

// clipWord makes what a user wrote fit to be quoted among other things.
func clipWord(text string) string { return clip(text[:min(len(text), maxWord)]) }

// accountPath is where the API server has the service account mounted in each container.
const accountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// field is a field by its name, and whether it is there.
type field struct {
	name string
	set  bool
}

func names(fields []field) (set []string) {
	for _, f := range fields {
		if f.set {
			set = append(set, f.name)
		}
	}
	return set
}

// ignoredFields names what of a module's container is ignored.
func ignoredFields(c corev1.Container, spec *corev1.PodSpec) []string {
	fields := []field{
		{"command", len(c.Command) > 0},
		{"workingDir", c.WorkingDir != ""},
		{"volumeMounts", slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath != accountPath })},
		{"volumeDevices", len(c.VolumeDevices) > 0},
		{"hostPort", opensHostPort(c, spec)},
		{"resources.claims", len(c.Resources.Claims) > 0},
		{"restartPolicy", c.RestartPolicy != nil},
		{"livenessProbe.exec", execs(c.LivenessProbe)},
		{"readinessProbe.exec", execs(c.ReadinessProbe)},
		{"startupProbe.exec", execs(c.StartupProbe)},
		{"livenessProbe.terminationGracePeriodSeconds", hasGrace(c.LivenessProbe)},
		{"startupProbe.terminationGracePeriodSeconds", hasGrace(c.StartupProbe)},
	}
	if hooks := c.Lifecycle; hooks != nil {
		fields = append(fields, field{"lifecycle.postStart", hooks.PostStart != nil}, field{"lifecycle.preStop", calls(hooks.PreStop)},
			field{"lifecycle.stopSignal", hooks.StopSignal != nil})
	}
	return names(fields)
}

// opensHostPort says whether a container asks for a port of the host. On the host's own
// network the API server asks for each.
func opensHostPort(c corev1.Container, spec *corev1.PodSpec) bool {
	if spec.HostNetwork {
		return false
	}
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 })
}

// calls says whether a hook does more than sleep.
func calls(hook *corev1.LifecycleHandler) bool { return hook != nil && hook.Sleep == nil }

func execs(p *corev1.Probe) bool { return p != nil && p.Exec != nil }

// hasGrace says whether a probe that fails gives its container another grace to end.
func hasGrace(p *corev1.Probe) bool { return p != nil && p.TerminationGracePeriodSeconds != nil }

// ignoredPodFields names what of a pod beside its containers is ignored.
func ignoredPodFields(spec *corev1.PodSpec) []string {
	claims := func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }
	makesClaim := func(v corev1.Volume) bool { return v.Ephemeral != nil }
	always := slices.Contains([]corev1.RestartPolicy{"", corev1.RestartPolicyAlways}, spec.RestartPolicy)
	return names([]field{
		{"restartPolicy " + string(spec.RestartPolicy), !always},
		{"activeDeadlineSeconds", spec.ActiveDeadlineSeconds != nil},
		{"volumes.persistentVolumeClaim", slices.ContainsFunc(spec.Volumes, claims)},
		{"volumes.ephemeral", slices.ContainsFunc(spec.Volumes, makesClaim)},
		{"resourceClaims", len(spec.ResourceClaims) > 0},
		{"hostAliases", len(spec.HostAliases) > 0},
		{"dnsConfig", spec.DNSConfig != nil},
		{"runtimeClassName", spec.RuntimeClassName != nil},
		{"shareProcessNamespace", ptr.Deref(spec.ShareProcessNamespace, false)},
		{"hostPID", spec.HostPID},
		{"hostIPC", spec.HostIPC},
	})
}

// resized says whether the resources of a container differ from those that it shows.
func resized(c corev1.Container, s *corev1.ContainerStatus) bool {
	switch {
	case s == nil, s.Resources == nil:
		return false
	}
	return !equality.Semantic.DeepEqual(*s.Resources, allocated(c))
}

// allocated is what a container shows of its resources.
func allocated(c corev1.Container) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: c.Resources.Requests, Limits: c.Resources.Limits}
}

// setNotRun shows of what begins a pod, and of what was put into it to look around, that it
// is not run.
func setNotRun(s *corev1.PodStatus, pod Pod, at metav1.Time) {
	var begins, looks []corev1.ContainerStatus
	for _, c := range pod.Spec.InitContainers {
		begins = append(begins, notRun(c.Name, c.Image, pod.Status.InitContainerStatuses, at))
	}
	for _, c := range pod.declared().EphemeralContainers {
		look := notRun(c.Name, c.Image, pod.Status.EphemeralContainerStatuses, at)
		look.Ready = false
		look.State.Terminated.Reason, look.State.Terminated.ExitCode = "NotRun", 1
		looks = append(looks, look)
	}
	s.InitContainerStatuses, s.EphemeralContainerStatuses = begins, looks
}
