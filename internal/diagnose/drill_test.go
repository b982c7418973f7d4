package diagnose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// ask is how a fault is asked about: a kubectl modules command, and the object.
type ask func(w *world) []Finding

func why(pod string) ask {
	return func(w *world) []Finding { return WhyPod(w.snapshot(), w.pod(pod)).Findings }
}

func whyBasePod(name string) ask {
	return func(w *world) []Finding {
		i := slices.IndexFunc(w.BasePods, func(p corev1.Pod) bool { return p.Name == name })
		return WhyPod(w.snapshot(), &w.BasePods[i]).Findings
	}
}

func whyBase(identity string) ask {
	return func(w *world) []Finding { return WhyBase(w.snapshot(), nodeName(identity)).Findings }
}

func check(w *world) []Finding { return Findings(Check(w.snapshot(), w.cluster)) }

const (
	newPod = "orders-new"
	// What the scheduler says of bases that a pod cannot go to.
	selectors = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
	taints    = "0/3 nodes are available: 3 node(s) had untolerated taint(s). preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)

// drill has each fault, how it shows in the API, how it is asked about, and what must be said.
var drill = []struct {
	fault  string
	plant  func(w *world)
	ask    ask
	rule   string
	cause  []string // words of the cause
	remedy []string // words of the remedy
}{
	{"no base matches", func(w *world) {
		w.unplacedPod(newPod, selectors, func(p *corev1.Pod) { p.Spec.NodeSelector["vnode.koupleless.io/name"] = "shpo" })
	}, why(newPod), "no-base-matches", []string{"vnode.koupleless.io/name=shpo", "bases have shop"}, []string{"nodeSelector"}},
	{"taint not tolerated", func(w *world) {
		w.unplacedPod(newPod, taints, func(p *corev1.Pod) { p.Spec.Tolerations = p.Spec.Tolerations[:1] })
	}, why(newPod), "taint-not-tolerated", []string{plan.TaintEnv}, []string{"tolerations", plan.TaintEnv, "default"}},
	{"anti-affinity full", func(w *world) {
		w.unplacedPod(newPod, "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.")
	}, why(newPod), "anti-affinity-full", []string{"anti-affinity", "team/orders-"}, []string{"add a base", "matchLabelKeys"}},
	{"metaspace full, for the scheduler", func(w *world) {
		w.unplacedPod(newPod, "0/3 nodes are available: 3 Insufficient memory.", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("512Mi")
		})
	}, why(newPod), "metaspace-full", []string{"metaspace"}, []string{"MaxMetaspaceSize"}},
	{"metaspace full, for the base", func(w *world) {
		w.module(newPod, "base-1", failing(1, "OutOfMemoryError: Metaspace"))
	}, why(newPod), "metaspace-full", []string{"metaspace", "OutOfMemoryError"}, []string{"MaxMetaspaceSize"}},
	{"metaspace full, so that pods without requests stay away", func(w *world) {
		n := w.node("base-1")
		*n = *plan.Node(plan.NodeInput{Now: noon, Name: n.Name, Heartbeat: heart("base-1"), Health: &tunnel.Health{MaxMemory: 256 * mebi, UsedMemory: 255 * mebi, CPUs: 4}, Noted: true}, n)
	}, check, "metaspace-full", []string{"metaspace", "full"}, []string{"MaxMetaspaceSize"}},
	{"jar missing", func(w *world) {
		w.module(newPod, "base-1", failing(1, "FileNotFoundException: "+jar))
	}, why(newPod), "jar-missing", []string{"/orders-1.0.0-ark-biz.jar"}, []string{"publish the jar", "image"}},
	{"jar missing on the base's disk, again and again", func(w *world) {
		w.module(newPod, "base-1", func(in *plan.Input) {
			in.Pods[0].Spec.Containers[0].Image = "file:///none.jar"
			failing(4, "FileNotFoundException: /none.jar (No such file or directory)")(in)
		})
	}, why(newPod), "jar-missing", []string{"/none.jar", "4 attempts"}, []string{"image"}},
	{"jar's host not reached", func(w *world) {
		w.module(newPod, "base-1", failing(1, "UnknownHostException: repo.example.com"))
	}, why(newPod), "jar-unreachable", []string{"repo.example.com"}, []string{"reaches that host"}},
	{"jar of another version", func(w *world) {
		w.module(newPod, "base-1", mismatched(tunnel.ModuleKey{Name: "orders", Version: "9.9.9"}))
	}, why(newPod), "jar-of-another-version", []string{"9.9.9"}, []string{plan.EnvVersion}},
	{"jar of another name", func(w *world) {
		w.module(newPod, "base-1", mismatched(tunnel.ModuleKey{Name: "stock", Version: "1.0.0"}))
	}, why(newPod), "jar-of-another-name", []string{"stock"}, []string{plan.EnvName}},
	{"main throws", func(w *world) {
		w.module(newPod, "base-1", failing(2, "IllegalStateException: no stock today"))
	}, why(newPod), "main-throws", []string{"no stock today"}, []string{"fix the module"}},
	{"main never returns", func(w *world) {
		w.module(newPod, "base-1", func(in *plan.Input) {
			in.Seen.Modules = []tunnel.Module{{ModuleKey: orders, State: tunnel.Resolved}}
			in.Memory.Starts[orders] = noon.Add(-6 * time.Minute)
		})
	}, why(newPod), "main-never-returns", []string{"never returns"}, []string{"jstack", "restart of the base"}},
	{"main has not returned for two minutes", func(w *world) {
		w.module(newPod, "base-1", func(in *plan.Input) {
			in.Seen.Modules = []tunnel.Module{{ModuleKey: orders, State: tunnel.Resolved}}
			in.Memory.Starts[orders] = noon.Add(-2 * time.Minute)
		})
	}, why(newPod), "install-slow", []string{"does not return", "2 min"}, []string{"base's log"}},
	{"port taken", func(w *world) {
		w.module(newPod, "base-1", failing(1, "PortInUseException: Port 8080 is already in use"))
	}, why(newPod), "port-taken", []string{"port", "8080"}, []string{plan.ReplaceAtOnce}},
	{"deactivated", func(w *world) { // the planner activates it at once, so it shows for moments only, or while that cannot be done
		p := w.module(newPod, "base-1")
		p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: plan.ReasonDeactivated,
			Message: "orders:1.0.0 is installed, but deactivated. start but is deactivated"}
	}, why(newPod), "deactivated", []string{"does not serve"}, []string{"activated"}},
	{"uninstall refused", func(w *world) {
		w.module(newPod, "base-1", func(in *plan.Input) {
			in.Pods[0].DeletionTimestamp = &metav1.Time{Time: noon.Add(-time.Minute)}
			in.Seen.Modules = []tunnel.Module{{ModuleKey: orders, State: tunnel.Activated}}
			in.Memory.Failures[orders] = plan.Failure{Purpose: plan.Purpose{Verb: tunnel.UninstallModule}, Count: 3, Message: "IOException: Unable to delete file", At: noon, NotBefore: noon.Add(time.Minute)}
		})
	}, why(newPod), "uninstall-refused", []string{"does not uninstall", "Unable to delete file"}, []string{"restart of the base"}},
	{"base silent", func(w *world) {
		w.ages("base-1", func(in *lifecycle.AgeInput) { in.LastSeen, in.Heard = noon.Add(-time.Minute), noon.Add(-time.Minute) })
	}, why("orders-1"), "base-silent", []string{"silent"}, []string{"JVM runs"}},
	{"base deaf", func(w *world) {
		w.ages("base-1", func(in *lifecycle.AgeInput) { in.Unanswered = noon.Add(-2 * time.Minute) })
	}, whyBase("base-1"), "base-deaf", []string{"answers no command"}, []string{"ACL", "jstack"}},
	{"base unowned", func(w *world) {
		l := w.lease("base-1")
		nobody, at := "", metav1.NewMicroTime(noon.Add(-5*time.Minute))
		l.Spec.HolderIdentity, l.Spec.RenewTime, l.Labels[prefix+"state"] = &nobody, &at, "orphaned"
		unknown(w.node("base-1"))
	}, whyBase("base-1"), "base-unowned", []string{"nobody owns"}, []string{"kubectl modules check"}},
	{"identity conflict", func(w *world) {
		w.ages("base-1", func(in *lifecycle.AgeInput) { in.Conflict = story("conflict", plan.ReasonIdentityConflict) })
	}, why("orders-1"), "identity-conflict", []string{"two live bases", "base-1"}, []string{"identity of its own"}},
	{"address reused", func(w *world) {
		w.event("Node", "", nodeName("base-1"), plan.ReasonBaseContested, story("reused", plan.ReasonBaseContested))
	}, whyBase("base-1"), "address-reused", []string{"another application", "bank 1", "192.0.2.1"}, []string{"wait"}},
	{"another says that it is this base", func(w *world) {
		w.event("Node", "", nodeName("base-1"), plan.ReasonBaseContested, story("contested", plan.ReasonBaseContested))
	}, whyBase("base-1"), "base-contested", []string{"somebody else"}, []string{"identity"}},
	{"broker refuses us", cutOff("connect to broker: not Authorized"), check, "tunnel-down", []string{"refused by the broker"}, []string{"MQTT_USERNAME"}},
	{"broker with the wrong CA", cutOff("connect to broker: network Error : tls: failed to verify certificate: x509: certificate signed by unknown authority"),
		check, "tunnel-down", []string{"does not trust the broker's certificate"}, []string{"MQTT_CA_PATH"}},
	{"broker gone", cutOff("connect to broker: network Error : dial tcp 10.0.0.9:8883: connect: connection refused"),
		why(newPod), "tunnel-down", []string{"does not reach the broker"}, []string{"MQTT_BROKER"}},
	{"replica cut from the API", func(w *world) {
		l := w.memberOf("mc-1")
		nobody := ""
		l.Spec.HolderIdentity = &nobody
		l.Annotations[prefix+"state"], l.Annotations[prefix+"killed-by"], l.Annotations[prefix+"last-holder"] = "killed", session("mc-0"), session("mc-1")
	}, check, "member-expired", []string{"cut off from the API server"}, []string{"network policy"}},
	{"a member is cordoned", func(w *world) { w.memberOf("mc-1").Annotations[prefix+"cordoned"] = "true" },
		check, "member-cordoned", []string{"cordoned", "takes none"}, []string{"drain mc-1 --undo"}},
	{"all members are cordoned", func(w *world) {
		for i := range w.MemberLeases {
			w.MemberLeases[i].Annotations[prefix+"cordoned"] = "true"
		}
	}, check, "member-cordoned", []string{"cordoned", "no other member is ready"}, []string{"start more replicas"}},
	{"a base was moved by hand", func(w *world) {
		w.memberOf("mc-0").Annotations[prefix+"pinned-bases"] = nodeName("base-1") + "=" + noon.Add(time.Hour).Format(time.RFC3339)
	}, whyBase("base-1"), "base-pinned", []string{"pinned to mc-0", "2026-11-29T13:00:00Z"}, []string{"move base-1 --undo"}},
	{"a request waits for a member of an earlier version", func(w *world) {
		w.memberOf("mc-1").Annotations[prefix+"cordoned"] = "true"
		delete(w.memberOf("mc-0").Annotations, prefix+"requests-obeyed-by")
	}, check, "requests-wait", []string{"waits", "mc-0"}, []string{"rollout"}},
	{"two installations", func(w *world) {
		w.member("mc-0", func(l *coordinationv1.Lease) { l.Namespace = "other" })
	}, check, "two-installations", []string{"two installations", "other", "default"}, []string{"stop one", "ENV"}},
	{"RBAC taken away", func(w *world) {
		for i := range w.cluster.Rights {
			if r := &w.cluster.Rights[i]; r.Resource == "pods/status" {
				r.Has = false
			}
		}
	}, check, "rights-missing", []string{"patch pods/status"}, []string{"manifests/rbac.yaml"}},
	{"FlowSchema gone", func(w *world) { w.cluster.FlowSchema = "no FlowSchema names the service account of namespace " + ns },
		check, "flowschema-missing", []string{"starved"}, []string{"manifests/availability.yaml"}},
	{"FlowSchema starved", func(w *world) { w.memberOf("mc-0").Annotations[prefix+"act-window"] = "7.2s" },
		check, "api-slow", []string{"takes seconds to answer"}, []string{"FlowSchema"}},
	{"renewals behind", func(w *world) {
		at := metav1.NewMicroTime(noon.Add(-42 * time.Second))
		w.lease("base-1").Spec.RenewTime = &at
	}, check, "renewals-behind", []string{"renewals are behind", "mc-0"}, []string{"LEASE_WORKERS"}},
	{"wrong ENV, of a pod", func(w *world) {
		w.unplacedPod(newPod, taints, func(p *corev1.Pod) { p.Spec.Tolerations[1].Value = "prod" })
	}, why(newPod), "environment-unserved", []string{"wrong environment", "prod", "default"}, []string{"ENV"}},
	{"wrong ENV, of a base", func(*world) {}, func(w *world) []Finding { return WhyBase(w.snapshot(), "vnode.base-1.prod").Findings },
		"environment-unserved", []string{"wrong environment", "prod"}, []string{"ENV"}},
	{"heartbeat refused: no Pod's address", func(w *world) {
		w.basePod("shop-0", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	}, whyBasePod("shop-0"), "heartbeat-refused", []string{"hostNetwork"}, []string{"HTTP_TUNNEL_AUTH"}},
	{"heartbeat refused: loopback", func(w *world) {
		w.basePod("shop-0", func(p *corev1.Pod) { p.Status.PodIP = "127.0.0.1" })
	}, whyBasePod("shop-0"), "heartbeat-refused", []string{"127.0.0.1", "loopback"}, []string{"HTTP_TUNNEL_ALLOWED_CIDRS"}},
	{"heartbeat refused: network", func(w *world) {
		w.set("HTTP_TUNNEL_ALLOWED_CIDRS", "10.1.0.0/16")
		w.basePod("shop-0", nil)
	}, whyBasePod("shop-0"), "heartbeat-refused", []string{"10.9.0.1"}, []string{"HTTP_TUNNEL_ALLOWED_CIDRS"}},
	{"heartbeat refused: namespace", func(w *world) {
		w.set("BASE_NAMESPACES", "bases")
		w.basePod("shop-0", nil)
	}, whyBasePod("shop-0"), "heartbeat-refused", []string{"namespace team"}, []string{"BASE_NAMESPACES"}},
	{"heartbeat refused: the tunnel is off", func(w *world) {
		w.set("ENABLE_HTTP_TUNNEL", "false")
		w.basePod("shop-0", nil)
	}, whyBasePod("shop-0"), "http-tunnel-off", []string{"HTTP tunnel is off"}, []string{"ENABLE_HTTP_TUNNEL"}},
	{"Secret missing", func(w *world) {
		w.module(newPod, "base-1", func(in *plan.Input) { in.Pods[0].Unresolved = `secret "keys" not found` })
	}, why(newPod), "secret-missing", []string{`secret "keys" not found`}, []string{"create it in namespace team"}},
	{"namespace not bound", func(w *world) {
		w.module(newPod, "base-1", func(in *plan.Input) {
			in.Pods[0].Unresolved = `cannot read secret "keys": namespace team has no RoleBinding of ClusterRole module-controller-environment: kubectl create rolebinding`
		})
	}, why(newPod), "namespace-not-bound", []string{"may not read", "team"}, []string{"kubectl create rolebinding", "-n team"}},
	{"foreign pod", func(w *world) {
		p := spec("exporter-1")
		delete(p.Labels, plan.LabelComponent)
		p.Spec.NodeName = nodeName("base-1")
		w.Strangers = append(w.Strangers, *p)
	}, check, "not-a-module", []string{"no module", plan.LabelComponent}, []string{"label", "keep it off VNodes"}},
	{"image pull of our own", func(w *world) {
		w.Replicas[1].Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "module-controller",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "module-controller:none"`}}}}}
	}, check, "image-not-pulled", []string{"image of this controller"}, []string{"kustomize edit set image"}},
	{"Node cordoned", func(w *world) {
		for i := range w.Nodes {
			w.Nodes[i].Spec.Unschedulable = true
			w.Nodes[i].Spec.Taints = append(w.Nodes[i].Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
		}
		w.unplacedPod(newPod, "0/3 nodes are available: 3 node(s) were unschedulable.")
	}, why(newPod), "base-cordoned", []string{"cordoned"}, []string{"kubectl uncordon " + nodeName("base-1")}},
	{"a foreign controller's Lease", func(w *world) {
		l, other := w.lease("base-1"), "another-controller"
		l.Labels, l.Spec.HolderIdentity = map[string]string{}, &other
	}, whyBase("base-1"), "foreign-lease", []string{"foreign controller", "another-controller"}, []string{"stop the other controller"}},
	{"a foreign controller took our Lease", func(w *world) {
		other := "another-controller"
		w.lease("base-1").Spec.HolderIdentity = &other
	}, whyBase("base-1"), "foreign-lease", []string{"foreign controller", "another-controller"}, []string{"stop the other controller"}},
	{"a base of another installation", func(w *world) {
		w.lease("base-1").Labels[prefix+"installation"] = "other"
	}, whyBase("base-1"), "foreign-lease", []string{"another installation", "other"}, []string{"stop one"}},
}

// mismatched has a jar have proved to be another module, in the resolver's own words.
func mismatched(is tunnel.ModuleKey) func(*plan.Input) {
	return func(in *plan.Input) {
		in.Memory.Attempts["orders"] = plan.Attempt{
			Command: tunnel.Command{Verb: tunnel.InstallModule, Module: orders, URL: in.Pods[0].Spec.Containers[0].Image}, Pod: in.Pods[0].UID, Sent: noon.Add(-10 * time.Second),
			Answer: &tunnel.Answer{Verb: tunnel.InstallModule, Module: orders, Outcome: tunnel.Done, Installed: is}, Answered: noon.Add(-5 * time.Second),
		}
		in.Seen.Modules = []tunnel.Module{{ModuleKey: is, State: tunnel.Activated}}
	}
}

// cutOff has no member be connected to the broker, and a pod wait for its module.
func cutOff(why string) func(w *world) {
	return func(w *world) {
		for i := range w.MemberLeases {
			w.MemberLeases[i].Annotations[prefix+"tunnels"] = "down"
			w.MemberLeases[i].Annotations[prefix+"tunnels-down-for"] = why
		}
		w.module(newPod, "base-1", func(in *plan.Input) { in.Live = false })
	}
}

// unknown makes a Node as the node controller does whose Lease is not renewed.
func unknown(n *corev1.Node) {
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		c.Status, c.Reason, c.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
	}
}

// basePod makes a Pod that should be a base.
func (w *world) basePod(name string, change func(*corev1.Pod)) {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "u", Labels: map[string]string{labelBase: "java"}},
		Spec: corev1.PodSpec{NodeName: "machine-1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.9.0.1"}}
	if change != nil {
		change(&p)
	}
	w.BasePods = append(w.BasePods, p)
}

// set gives the replicas a setting.
func (w *world) set(name, value string) {
	for i := range w.Replicas {
		c := &w.Replicas[i].Spec.Containers[0]
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

// story gives what the product tells of a base for a reason, as a story of provider/lifecycle
// has it.
func story(name, reason string) string {
	text, err := os.ReadFile(filepath.Join("..", "..", "provider", "lifecycle", "testdata", name+".txt"))
	if err != nil {
		panic(err)
	}
	m := regexp.MustCompile(`event on the Node: ` + reason + `: (.*)`).FindSubmatch(text)
	if m == nil {
		panic("story " + name + " tells no " + reason)
	}
	return string(m[1])
}

// Each fault is named with its cause and its remedy, by the first thing that is said.
func TestTheDiagnosisDrill(t *testing.T) {
	for _, d := range drill {
		t.Run(d.fault, func(t *testing.T) {
			w := sound()
			d.plant(w)
			began := time.Now()
			all := d.ask(w)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			if len(all) == 0 {
				t.Fatal("nothing was found")
			}
			f := all[0]
			if f.Rule != d.rule {
				t.Errorf("found %s first, want %s: %+v", f.Rule, d.rule, all)
			}
			for _, word := range d.cause {
				if !strings.Contains(f.Cause, word) {
					t.Errorf("the cause %q has no %q", f.Cause, word)
				}
			}
			for _, word := range d.remedy {
				if !strings.Contains(f.Remedy, word) {
					t.Errorf("the remedy %q has no %q", f.Remedy, word)
				}
			}
			if f.Doc == "" || len(f.Evidence) == 0 {
				t.Errorf("it has page %q and evidence %v", f.Doc, f.Evidence)
			}
		})
	}
}

// A pod that is ready for a moment longer than its base is not well, and one that another
// controller serves is.
func TestAReadyPodIsAsWellAsItsNode(t *testing.T) {
	w := sound()
	n := w.node("base-1")
	*n = *plan.Node(plan.NodeInput{Now: noon, Name: n.Name, Heartbeat: heart("base-1"), NotReady: plan.ReasonBaseSilent}, n)
	other := "another-controller"
	w.lease("base-2").Spec.HolderIdentity, w.lease("base-2").Labels = &other, nil
	if all := why("orders-1")(w); len(all) != 1 || all[0].Rule != "base-silent" {
		t.Errorf("found %+v", all)
	}
	c := WhyPod(w.snapshot(), w.pod("orders-2"))
	if len(c.Findings) != 0 || slices.ContainsFunc(c.Links, func(l Link) bool { return l.State != Done }) {
		t.Errorf("of a pod that serves: %+v", c)
	}
}

// What is wrong with a base and stops nothing is not why a pod of it waits.
func TestWhatStopsNothingIsNotTheCause(t *testing.T) {
	w := sound()
	w.event("Node", "", nodeName("base-1"), plan.ReasonBaseContested, story("reused", plan.ReasonBaseContested))
	w.module(newPod, "base-1", failing(1, "FileNotFoundException: "+jar))
	if all := why(newPod)(w); len(all) != 1 || all[0].Rule != "jar-missing" {
		t.Errorf("found %+v", all)
	}
}

// An Event of an earlier Node of the same name says nothing of the base that is there now.
func TestAnEventOfAnEarlierNodeDoesNotCount(t *testing.T) {
	w := sound()
	w.event("Node", "", nodeName("base-1"), plan.ReasonBaseContested, story("reused", plan.ReasonBaseContested))
	if all := whyBase("base-1")(w); len(all) == 0 || all[0].Rule != "address-reused" {
		t.Errorf("of this Node it is %+v, want address-reused", all)
	}
	w.node("base-1").CreationTimestamp = w.Events[0].LastTimestamp
	if all := whyBase("base-1")(w); len(all) == 0 || all[0].Rule != "address-reused" {
		t.Errorf("in the second in which the Node was created it is %+v, want address-reused", all)
	}
	w.node("base-1").CreationTimestamp = metav1.NewTime(noon.Add(-time.Second))
	if all := whyBase("base-1")(w); len(all) != 0 {
		t.Errorf("of an earlier one it is %+v, want nothing", all)
	}
}

// With a sound fleet nothing is wrong.
func TestASoundFleetHasNoFindings(t *testing.T) {
	w := sound()
	noFindings(t, w)
}

// Another installation beside it, with another environment, is nobody's fault.
func TestAnotherInstallationWithAnotherEnvironmentIsWell(t *testing.T) {
	w := sound()
	w.member("mc-0", func(l *coordinationv1.Lease) {
		l.Namespace, l.Annotations[prefix+"environments"] = "other", "prod"
	})
	w.base("theirs", "mc-0")
	n, l := w.node("theirs"), w.lease("theirs")
	n.Name, l.Name, l.Labels[prefix+"installation"] = "vnode.theirs.prod", "vnode.theirs.prod", "other"
	unknown(n)
	noFindings(t, w)
}

func noFindings(t *testing.T, w *world) {
	t.Helper()
	s := w.snapshot()
	for _, g := range Check(s, w.cluster) {
		for _, tick := range g.Ticks {
			if len(tick.Findings) > 0 || tick.Skipped != "" {
				t.Errorf("%s, %s: %+v %s", g.Name, tick.Holds, tick.Findings, tick.Skipped)
			}
		}
	}
	if all := Fleet(s); len(all) > 0 {
		t.Errorf("found %+v", all)
	}
	for i := range w.Modules {
		c := WhyPod(s, &w.Modules[i])
		if len(c.Findings) > 0 || slices.ContainsFunc(c.Links, func(l Link) bool { return l.State != Done }) {
			t.Errorf("pod %s: %+v", w.Modules[i].Name, c)
		}
	}
	for _, b := range s.Bases {
		if s.Elsewhere(b) {
			continue
		}
		c := WhyBase(s, b.Name)
		if len(c.Findings) > 0 || slices.ContainsFunc(c.Links, func(l Link) bool { return l.State != Done }) {
			t.Errorf("base %s: %+v", b.Name, c)
		}
	}
}
