package diagnose

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
)

// labelBase is the label of Pods that may be bases, unless BASE_POD_SELECTOR says otherwise.
const labelBase = "base.koupleless.io/stack"

// authPod is HTTP_TUNNEL_AUTH where nothing says otherwise.
const authPod = "pod"

// eventSource is who this controller is as the source of Events.
const eventSource = "module-controller"

// basePodRule finds why a Pod that should be a base is none: why its heartbeats are refused.
type basePodRule struct {
	name, doc string
	find      func(s *fleet.Snapshot, pod *corev1.Pod) *found
}

var basePodRules = []basePodRule{
	{"heartbeat-refused", docNoNode, toldRefusal}, // before what its labels say: that may be why
	{"no-base-pod", docNoNode, noBasePod},
	{"base-pod-not-running", docNoNode, notRunning},
	{"http-tunnel-off", docNoNode, tunnelOff},
	{"heartbeat-refused", docNoNode, hostNetwork},
	{"heartbeat-refused", docNoNode, otherNamespace},
	{"heartbeat-refused", docNoNode, impossibleAddress},
	{"heartbeat-refused", docNoNode, otherNetwork},
	{"not-heard", docNoNode, notHeard},
}

// basePod is what is wrong with a Pod that is on no VNode.
func basePod(s *fleet.Snapshot, pod *corev1.Pod) []Finding {
	if b := baseIn(s, pod); b != nil {
		return Base(s, b)
	}
	for _, rule := range basePodRules {
		if f := rule.find(s, pod); f != nil {
			return []Finding{f.finding(rule.name, rule.doc, podObject(pod))}
		}
	}
	return nil
}

// baseIn is the base that was proved to run in a Pod, or that has its address; nil for none.
func baseIn(s *fleet.Snapshot, pod *corev1.Pod) *fleet.Base {
	is := strings.Join([]string{pod.Namespace, pod.Name, string(pod.UID)}, "/")
	for _, b := range s.Bases {
		switch {
		case b.Says.Sender.Workload == is:
			return b
		case b.Says.Sender.Workload == "" && b.Says.IP != "" && b.Says.IP == pod.Status.PodIP:
			return b
		}
	}
	return nil
}

func noBasePod(s *fleet.Snapshot, pod *corev1.Pod) *found {
	_, labelled := pod.Labels[labelBase]
	_, selects := s.Setting("BASE_POD_SELECTOR")
	if labelled || selects {
		return nil
	}
	f := found{
		cause:    "this pod is neither a module nor a base: it has the label of none, and is bound to no VNode",
		remedy:   "label the template of bases with " + labelBase + "=java; a module's with virtual-kubelet.koupleless.io/component=module, and let it be placed on bases",
		evidence: []string{fmt.Sprintf("pod %s/%s: on Node %s, labels %v", pod.Namespace, pod.Name, pod.Spec.NodeName, pod.Labels)},
	}
	if fleet.IsModule(pod) {
		f.cause = "this module was placed on an ordinary Node, " + pod.Spec.NodeName + ": nothing runs it there"
		f.remedy = "add nodeSelector {virtual-kubelet.koupleless.io/component: vnode} to its template"
		return &f
	}
	return f.mild(Note)
}

func notRunning(_ *fleet.Snapshot, pod *corev1.Pod) *found {
	if pod.Status.Phase == corev1.PodRunning {
		return nil
	}
	return &found{
		cause:    "the base's Pod does not run: it is " + string(pod.Status.Phase),
		remedy:   "see why: kubectl describe pod -n " + pod.Namespace + " " + pod.Name,
		evidence: []string{quote("pod "+pod.Name, string(pod.Status.Phase)+" "+pod.Status.Reason+" "+pod.Status.Message)},
	}
}

// toldRefusal quotes what this controller told of the Pod itself, while it runs.
func toldRefusal(s *fleet.Snapshot, pod *corev1.Pod) *found {
	if pod.Status.Phase != corev1.PodRunning {
		return nil
	}
	for _, e := range slices.Backward(s.EventsOf("Pod", pod.Namespace, pod.Name)) {
		if cmp.Or(e.Source.Component, e.ReportingController) == eventSource && e.Type == corev1.EventTypeWarning {
			return &found{cause: "the base is refused: " + e.Message, remedy: "as the Event says", evidence: []string{quote("Event "+e.Reason, e.Message)}}
		}
	}
	return nil
}

func tunnelOff(s *fleet.Snapshot, _ *corev1.Pod) *found {
	if on, told := s.Setting("ENABLE_HTTP_TUNNEL"); !told || on != "false" {
		return nil
	}
	return &found{
		cause:    "the HTTP tunnel is off, so a base that announces itself over HTTP is not heard; over MQTT it is heard if it speaks to the controller's broker",
		remedy:   "set ENABLE_HTTP_TUNNEL=true on the StatefulSet, or let the base use MQTT with the environment that ENV names",
		evidence: []string{"StatefulSet: ENABLE_HTTP_TUNNEL=false", "no Node is bound to this Pod"},
	}
}

// provesByPod says whether a base must prove itself by its Pod.
func provesByPod(s *fleet.Snapshot) (mode string, does bool) {
	mode, _ = s.Setting("HTTP_TUNNEL_AUTH")
	mode = cmp.Or(mode, authPod)
	return mode, mode == authPod
}

func hostNetwork(s *fleet.Snapshot, pod *corev1.Pod) *found {
	mode, does := provesByPod(s)
	if !pod.Spec.HostNetwork || !does {
		return nil
	}
	return &found{
		cause:    "the base's heartbeats are refused: its Pod has hostNetwork, so its address is its machine's and proves nothing in the mode " + mode,
		remedy:   "set HTTP_TUNNEL_AUTH=token or certificate, or run the base without hostNetwork",
		evidence: []string{"pod " + pod.Name + ": spec.hostNetwork is true", "HTTP_TUNNEL_AUTH is " + mode},
	}
}

func otherNamespace(s *fleet.Snapshot, pod *corev1.Pod) *found {
	allowed, told := s.Setting("BASE_NAMESPACES")
	if !told || allowed == "" || slices.Contains(strings.Split(allowed, ","), pod.Namespace) {
		return nil
	}
	return &found{
		cause:    "the base's heartbeats are refused: Pods of namespace " + pod.Namespace + " may not be bases",
		remedy:   "add it to BASE_NAMESPACES",
		evidence: []string{"StatefulSet: BASE_NAMESPACES=" + allowed},
	}
}

// impossibleAddress tells of an address that no base may have, whatever is set.
func impossibleAddress(_ *fleet.Snapshot, pod *corev1.Pod) *found {
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || !addr.IsLoopback() && !addr.IsLinkLocalUnicast() {
		return nil
	}
	return &found{
		cause:    "the base's heartbeats are refused: " + pod.Status.PodIP + " is a loopback or link-local address",
		remedy:   "add its network to HTTP_TUNNEL_ALLOWED_CIDRS, if the replicas run on the same machine",
		evidence: []string{"pod " + pod.Name + ": podIP " + pod.Status.PodIP},
	}
}

func otherNetwork(s *fleet.Snapshot, pod *corev1.Pod) *found {
	allowed, _ := s.Setting("HTTP_TUNNEL_ALLOWED_CIDRS")
	denied, _ := s.Setting("HTTP_TUNNEL_DENIED_CIDRS")
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || (allowed == "" || within(addr, allowed)) && !within(addr, denied) {
		return nil
	}
	return &found{
		cause:    "the base's heartbeats are refused: its address " + pod.Status.PodIP + " is not in the networks that bases may have",
		remedy:   "correct HTTP_TUNNEL_ALLOWED_CIDRS or HTTP_TUNNEL_DENIED_CIDRS",
		evidence: []string{"StatefulSet: HTTP_TUNNEL_ALLOWED_CIDRS=" + allowed + ", HTTP_TUNNEL_DENIED_CIDRS=" + denied},
	}
}

// within says whether an address is in one of networks, separated by commas.
func within(addr netip.Addr, networks string) bool {
	return slices.ContainsFunc(strings.Split(networks, ","), func(network string) bool {
		p, err := netip.ParsePrefix(strings.TrimSpace(network))
		return err == nil && p.Contains(addr)
	})
}

// notHeard is what is left: objects do not tell whether it speaks at all.
func notHeard(s *fleet.Snapshot, pod *corev1.Pod) *found {
	return &found{
		cause:    "no base is known in this Pod: it does not speak to the controller, or what it says is refused for what the objects do not tell",
		remedy:   "see the base's log, its heartbeat endpoint or broker, and the controller's: kubectl logs -n " + s.Namespace + " -l app.kubernetes.io/name=module-controller | grep " + cmp.Or(pod.Status.PodIP, pod.Name),
		evidence: []string{"no Node is bound to " + pod.Namespace + "/" + pod.Name + " or has its address " + pod.Status.PodIP},
	}
}
