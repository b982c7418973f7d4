package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestWhatIsIgnoredIsNamed(t *testing.T) {
	seconds, never := int64(1), corev1.ContainerRestartPolicyNever
	module := func(change func(*corev1.Container)) func(*Pod) {
		return func(p *Pod) { change(&p.Spec.Containers[0]) }
	}
	spec := func(change func(*corev1.PodSpec)) func(*Pod) { return func(p *Pod) { change(&p.Spec) } }
	handler := &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{}}
	exec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{}}}
	slow := &corev1.Probe{TerminationGracePeriodSeconds: &seconds}
	term := corev1.SIGTERM
	http := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{}}}
	port := module(func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} })
	token := func(p *Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-x", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "kube-api-access-x", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	}
	defaults := func(p *Pod) {
		p.Spec.RestartPolicy, p.Spec.DNSPolicy, p.Spec.ServiceAccountName = corev1.RestartPolicyAlways, corev1.DNSClusterFirst, "default"
		p.Spec.SecurityContext, p.Spec.ImagePullSecrets = &corev1.PodSecurityContext{}, []corev1.LocalObjectReference{{Name: "pull"}}
		p.Spec.Containers[0].TerminationMessagePath, p.Spec.Containers[0].SecurityContext = "/dev/termination-log", &corev1.SecurityContext{}
	}
	for _, c := range []struct {
		name   string
		change func(*Pod)
		want   string
	}{
		{"nothing", func(*Pod) {}, ""},
		{"what is in every pod", func(p *Pod) { defaults(p); token(p) }, ""},
		{"a sleep is done, and so are probes of the network", func(p *Pod) {
			sleeps(5)(p)
			p.Spec.Containers[0].ReadinessProbe, p.Spec.Containers[0].LivenessProbe, p.Spec.Containers[0].StartupProbe = http, http, http
		}, ""},
		{"command", module(func(c *corev1.Container) { c.Command, c.WorkingDir = []string{"java"}, "/x" }), "orders: command, workingDir"},
		{"mounts", module(func(c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{{MountPath: "/data"}}
			c.VolumeDevices = []corev1.VolumeDevice{{}}
		}), "orders: volumeMounts, volumeDevices"},
		{"a port of the host", port, "orders: hostPort"},
		{"a port of the host that was defaulted", func(p *Pod) { port(p); p.Spec.HostNetwork = true }, ""},
		{"claims", module(func(c *corev1.Container) { c.Resources.Claims = []corev1.ResourceClaim{{}} }), "orders: resources.claims"},
		{"a restart policy", module(func(c *corev1.Container) { c.RestartPolicy = &never }), "orders: restartPolicy"},
		{"probes that run something", module(func(c *corev1.Container) { c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = exec, exec, exec }), "orders: livenessProbe.exec, readinessProbe.exec, startupProbe.exec"},
		{"hooks", module(func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PostStart: handler, PreStop: handler, StopSignal: &term}
		}), "orders: lifecycle.postStart, lifecycle.preStop, lifecycle.stopSignal"},
		{"a grace of a probe", module(func(c *corev1.Container) { c.LivenessProbe, c.StartupProbe = slow, slow }), "orders: livenessProbe.terminationGracePeriodSeconds, startupProbe.terminationGracePeriodSeconds"},
		{"the pod's", spec(func(s *corev1.PodSpec) {
			s.RestartPolicy, s.ActiveDeadlineSeconds, s.HostAliases, s.DNSConfig = corev1.RestartPolicyNever, &seconds, []corev1.HostAlias{{}}, &corev1.PodDNSConfig{}
			s.ResourceClaims = []corev1.PodResourceClaim{{}}
			s.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}}}
		}), "restartPolicy Never, activeDeadlineSeconds, volumes.persistentVolumeClaim, resourceClaims, hostAliases, dnsConfig"},
		{"the pod's that touch its machine", spec(func(s *corev1.PodSpec) {
			s.RuntimeClassName, s.ShareProcessNamespace, s.HostPID, s.HostIPC = new("kata"), new(true), true, true
			s.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
		}), "volumes.ephemeral, runtimeClassName, shareProcessNamespace, hostPID, hostIPC"},
		{"a volume that nothing mounts", spec(func(s *corev1.PodSpec) { s.Volumes = []corev1.Volume{{}} }), ""},
		{"a bad annotation", func(p *Pod) { p.Annotations = map[string]string{AnnotationReplace: "at_once"} }, `annotation virtual-kubelet.koupleless.io/replace: "at_once" is neither beside nor at-once`},
		{"good annotations", func(p *Pod) { p.Annotations = map[string]string{AnnotationReplace: ReplaceAtOnce} }, ""},
		{"injected", func(p *Pod) { sidecar("istio-proxy")(p); initContainer("istio-init")(p) }, `containers that are no modules are not run [istio-init istio-proxy], to keep them out: label sidecar.istio.io/inject: "false"`},
		{"what an injected one asks for", func(p *Pod) {
			sidecar("web")(p)
			p.Spec.Containers[0].Command = []string{"x"}
		}, "containers that are no modules are not run [web]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := podFor("p", "orders:1")
			c.change(&pod)
			in := onBase().with(pod)
			out := Modules(in)
			want := ""
			if c.want != "" {
				want = "Ignored: what a base cannot do: " + c.want
			}
			if got := events(out); got != want {
				t.Errorf("events %q, want %q", got, want)
			}
			in.Pods[0].Status = statusIn(out, "p").Status
			if got := events(Modules(in)); got != "" {
				t.Errorf("it is told again: %q", got)
			}
		})
	}
}

// What comes later is told when it comes, once. A debugger finds a container that has ended.
func TestWhatIsIgnoredLater(t *testing.T) {
	quantity := func(text string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(text)}
	}
	pod := podFor("p", "orders:1", func(p *Pod) { p.Spec.Containers[0].Resources.Requests = quantity("10Mi") })
	in := onBase("orders:1 activated").with(pod)
	look := func() string {
		out := Modules(in)
		in.Pods[0].Status = statusIn(out, "p").Status
		return events(out)
	}
	if got := look(); got != "" {
		t.Errorf("events %q", got)
	}
	cs := func() corev1.ContainerStatus { return in.Pods[0].Status.ContainerStatuses[0] }
	if c := cs(); c.Resources == nil || c.AllocatedResources.Memory().String() != "10Mi" {
		t.Errorf("resources %+v", c)
	}
	declared := in.Pods[0].Spec.DeepCopy()
	declared.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	in.Pods[0].Declared = declared
	if got := look(); !strings.Contains(got, "ephemeralContainers[debug]") {
		t.Errorf("events %q", got)
	}
	if s := in.Pods[0].Status.EphemeralContainerStatuses; len(s) != 1 || s[0].State.Terminated.ExitCode == 0 || s[0].Ready {
		t.Errorf("statuses %+v", s)
	}
	in.Pods[0].Spec.Containers[0].Resources.Requests = quantity("20Mi")
	if got := look(); got != "Ignored: what a base cannot do: orders: a change of resources, which counts for the scheduler only" {
		t.Errorf("events %q", got)
	}
	if c := cs(); c.AllocatedResources.Memory().String() != "20Mi" || !isTrue(in.Pods[0].Status, corev1.PodReady) {
		t.Errorf("resources %+v", c)
	}
	in.Now = noon.Add(60e9)
	was := in.Pods[0].Status
	if got := look(); got != "" || !equal(was, in.Pods[0].Status) {
		t.Errorf("it is told again: %q", got)
	}
	// An API server that drops them is not written to for ever.
	in.Pods[0].Status.ContainerStatuses[0].Resources, in.Pods[0].Status.ContainerStatuses[0].AllocatedResources = nil, nil
	if got := look(); got != "" || cs().Resources != nil {
		t.Errorf("events %q, resources %+v", got, cs().Resources)
	}
}
