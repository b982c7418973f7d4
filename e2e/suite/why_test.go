package suite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// diagnosed is how soon a cause is to be named, once it shows in the API.
const diagnosed = 2 * time.Second

// asking asks what is wrong.
type asking func() ([]world.Finding, time.Duration, error)

// names waits until a fault is the first thing that is said to be wrong, with words in its
// cause and in its remedy, and checks how long that answer took.
func names(w *world.World, ask asking, rule, cause, remedy string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		all, took, err := ask()
		all = slices.DeleteFunc(all, func(f world.Finding) bool { return f.Rule != rule && ofEarlierTests(f) })
		switch {
		case err != nil:
			return harness.Final(err)
		case len(all) == 0:
			return fmt.Errorf("nothing is wrong, want %s", rule)
		case all[0].Rule != rule:
			return fmt.Errorf("said is %+v, want %s", all, rule)
		case !strings.Contains(all[0].Cause, cause), !strings.Contains(all[0].Remedy, remedy):
			return fmt.Errorf("%s says %q, do %q; want %q and %q", rule, all[0].Cause, all[0].Remedy, cause, remedy)
		case took > diagnosed:
			return fmt.Errorf("%s took %s", rule, took)
		}
		w.Logf("%s in %s: %s", rule, took.Round(time.Millisecond), all[0].Cause)
		return nil
	})
}

// unbound has a pod wait for the scheduler.
func unbound(p *corev1.Pod) { p.Spec.NodeName = "" }

// kubectl modules names the cause and the remedy of faults that are planted one at a time, as
// internal/diagnose has them by constructed objects; and with nothing planted, nothing is wrong.
// It keeps a promised time, so nothing else runs beside it.
func TestKubectlModulesNamesTheCause(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(2).WithController("STALE_AFTER=4s", "LIST_INTERVAL=1s")
	w.AwaitNodesReady(2)
	w.CreatePod("well", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("well")
	why := func(name string) asking {
		return func() ([]world.Finding, time.Duration, error) { return w.Why(name) }
	}
	well(w, why("well"), w.Check)

	create := func(name, url string, change ...func(*corev1.Pod)) {
		w.CreatePod(name, "base-0001", name, "1.0.0", url, change...)
	}
	create("unmatched", world.Jar("unmatched", "1.0.0"), unbound, func(p *corev1.Pod) { p.Spec.NodeSelector["vnode.koupleless.io/name"] = "nobody" })
	names(w, why("unmatched"), "no-base-matches", "vnode.koupleless.io/name=nobody", "nodeSelector")
	create("untolerant", world.Jar("untolerant", "1.0.0"), unbound, func(p *corev1.Pod) { p.Spec.Tolerations = p.Spec.Tolerations[:1] })
	names(w, why("untolerant"), "taint-not-tolerated", "schedule.koupleless.io/node-env", w.Env)
	create("missing", "file:///opt/modules/none.jar")
	names(w, why("missing"), "jar-missing", "/opt/modules/none.jar", "publish the jar")
	create("secretless", world.Jar("secretless", "1.0.0"), func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}}}}
	})
	w.MayBeDenied("configmaps")
	names(w, why("secretless"), "namespace-not-bound", w.Env, "kubectl create rolebinding")

	nodes := []string{w.NodeName("base-0001"), w.NodeName("base-0002")}
	w.Kubectl(append([]string{"cordon"}, nodes...)...)
	create("uncordoned", world.Jar("uncordoned", "1.0.0"), unbound)
	names(w, why("uncordoned"), "base-cordoned", "cordoned", "kubectl uncordon "+nodes[0])
	w.Kubectl(append([]string{"uncordon"}, nodes...)...)
	w.AwaitReady("uncordoned")

	w.Must(w.Fleet.Do("base-0001", "silence"))
	names(w, why("base-0001"), "base-silent", "silent", "JVM")
	names(w, why("well"), "base-silent", "silent", "JVM")
	w.Must(w.Fleet.Do("base-0001", "resume"))
	w.AwaitNodesReady(2)

	withoutRight(w, "delete", func() { names(w, w.Check, "rights-missing", "delete nodes", "manifests/rbac.yaml") })

	w.Must(w.Broker.Kill())
	names(w, w.Check, "tunnel-down", "does not reach the broker", "MQTT_BROKER")
	w.StartBroker()
	for _, name := range []string{"unmatched", "untolerant", "missing", "secretless"} {
		w.DeletePod(name, 0)
	}
	w.AwaitReady("well")
	well(w, why("well"), w.Check)
}

// The same of what goes wrong with modules, and of who else is there.
func TestKubectlModulesNamesTheCauseOfModules(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("UNRESPONSIVE_AFTER=5s", "LIST_INTERVAL=1s", "QUIET_LIST_INTERVAL=1s")
	w.AwaitNodesReady(1)
	w.CreatePod("well", base, "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("well")
	why := func(name string) asking {
		return func() ([]world.Finding, time.Duration, error) { return w.Why(name) }
	}
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("newer", "1.0.0"), "name": "newer", "version": "2.0.0"}))
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("other", "1.0.0"), "name": "another", "version": "1.0.0"}))
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("holder", "1.0.0"), "name": "holder", "version": "1.0.0", "port": 8080}))
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("ported", "1.0.0"), "name": "ported", "version": "1.0.0", "port": 8080}))
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("thrower", "1.0.0"), "name": "thrower", "version": "1.0.0", "failWith": "java.lang.IllegalStateException: no stock today"}))
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("hanging", "1.0.0"), "name": "hanging", "version": "1.0.0", "hangs": true}))
	w.CreatePod("holder", base, "holder", "1.0.0", world.Jar("holder", "1.0.0"))
	w.AwaitReady("holder")
	for _, name := range []string{"newer", "other", "ported", "thrower", "hanging"} {
		w.CreatePod(name, base, name, "1.0.0", world.Jar(name, "1.0.0"))
	}
	names(w, why("newer"), "jar-of-another-version", "2.0.0", "BIZ_VERSION")
	names(w, why("other"), "jar-of-another-name", "another", "BIZ_NAME")
	names(w, why("ported"), "port-taken", "8080", "at-once")
	names(w, why("thrower"), "main-throws", "no stock today", "fix the module")
	makePod(w, w.Env, "stranger", w.NodeName(base), "")
	names(w, why("stranger"), "not-a-module", "label", "keep it off VNodes")

	has(w, "fail-uninstalls?n=all")
	w.DeletePod("holder")
	names(w, why("holder"), "uninstall-refused", "Unable to delete file", "restart of the base")
	has(w, "mute")
	names(w, why(base), "base-deaf", "answers no command", "ACL")
	has(w, "resume")
	w.AwaitNodesReady(1)
	w.AwaitGone("holder", world.Timeout)

	twin, seconds, now := "twin_0123abcd", int32(3600), metav1.NowMicro()
	_, err := cluster.Client.CoordinationV1().Leases(w.Env).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "twin", Labels: map[string]string{component: "module-controller"}, Annotations: map[string]string{"virtual-kubelet.koupleless.io/environments": w.Env}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &twin, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}, metav1.CreateOptions{})
	w.Must(err)
	names(w, w.Check, "two-installations", w.Env, "stop one")
	names(w, why("hanging"), "install-slow", "main does not return", "base's log") // said after a minute
}

// ofEarlierTests says of what is found that it is of a replica which another test of the same
// installation killed.
func ofEarlierTests(f world.Finding) bool { return f.Rule == "member-expired" }

// well waits until nothing is said to be wrong.
func well(w *world.World, asks ...asking) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		for _, ask := range asks {
			all, _, err := ask()
			switch wrong := slices.DeleteFunc(all, func(f world.Finding) bool { return f.Severity == "note" || ofEarlierTests(f) }); {
			case err != nil:
				return harness.Final(err)
			case len(wrong) > 0:
				return fmt.Errorf("said is %+v", wrong)
			}
		}
		return nil
	})
}

// withoutRight does something while replicas may not do one thing with Nodes.
func withoutRight(w *world.World, verb string, do func()) {
	w.Helper()
	roles := cluster.Client.RbacV1().ClusterRoles()
	name := w.Role()
	role, err := roles.Get(w.Context(), name, metav1.GetOptions{})
	w.Must(err)
	was := role.DeepCopy().Rules
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Resources, "nodes") {
			role.Rules[i].Verbs = slices.DeleteFunc(role.Rules[i].Verbs, func(v string) bool { return v == verb })
		}
	}
	role, err = roles.Update(w.Context(), role, metav1.UpdateOptions{})
	w.Must(err)
	do()
	role.Rules = was
	_, err = roles.Update(w.Context(), role, metav1.UpdateOptions{})
	w.Must(err)
}
