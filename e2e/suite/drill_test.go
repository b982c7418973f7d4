package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/attacker"
	"module-controller/e2e/world"
)

// kubectl modules names the cause of what keeps pods from bases, of Secrets that are missing, of
// who else has a base, and of what the cluster lacks. It keeps a promised time, so nothing else
// runs beside it.
func TestKubectlModulesNamesTheCauseOfPlaces(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(2).WithController("LIST_INTERVAL=1s")
	w.AwaitNodesReady(2)
	w.CreatePod("well", "base-0001", "well", "1.0.0", world.Jar("well", "1.0.0"))
	w.AwaitReady("well")
	why := func(name string) asking {
		return func() ([]world.Finding, time.Duration, error) { return w.Why(name) }
	}
	create := func(name string, change ...func(*corev1.Pod)) {
		w.CreatePod(name, "base-0001", name, "1.0.0", world.Jar(name, "1.0.0"), change...)
	}
	create("large", unbound, func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Gi")}
	})
	names(w, why("large"), "metaspace-full", "metaspace", "MaxMetaspaceSize")
	create("elsewhere", unbound, func(p *corev1.Pod) {
		for i := range p.Spec.Tolerations {
			if p.Spec.Tolerations[i].Value == w.Env {
				p.Spec.Tolerations[i].Value = "nobodys"
			}
		}
	})
	names(w, why("elsewhere"), "taint-not-tolerated", "node-env", w.Env)
	w.CreateDeployment("spread", "1.0.0", world.Jar("spread", "1.0.0"), 3, world.Spread)
	third := ""
	w.Eventually(world.Timeout, func() error {
		pods := w.Pods("app=spread")
		left := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return p.Spec.NodeName != "" })
		if len(pods) != 3 || len(left) != 1 {
			return fmt.Errorf("%d of %d pods are on no Node, want 1 of 3", len(left), len(pods))
		}
		third = left[0].Name
		return nil
	})
	names(w, why(third), "anti-affinity-full", "anti-affinity", "add a base")
	w.WithEnvironmentAccess()
	create("secretless", func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}}}
	})
	names(w, why("secretless"), "secret-missing", "keys", "create it in namespace "+w.Env)

	hosted := makeBasePod(w, "hosted", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	names(w, why(hosted), "heartbeat-refused", "hostNetwork", "HTTP_TUNNEL_AUTH")
	node := w.NodeName("base-0002")
	w.Eventually(world.Timeout, func() error { return takeAsForeigner(w, node) })
	names(w, why("base-0002"), "foreign-lease", foreigner, "stop the other controller")
	w.AwaitOwned(world.Timeout, 2)

	withoutFlowSchema(w, func() { names(w, w.Check, "flowschema-missing", "starved", "manifests/availability.yaml") })
	own := ownPod(w, func(p *corev1.Pod) {
		p.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Image: "i",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "i"`}}}}}
	})
	names(w, w.Check, "image-not-pulled", "image of this controller", "image")
	own()
	for _, name := range []string{"large", "elsewhere", "secretless"} {
		w.DeletePod(name, 0)
	}
	w.Kubectl("delete", "deployment", "spread", "-n", w.Env, "--wait=false")
	well(w, why("well"), why("base-0002"))

	w.Stop(0)
	names(w, w.Check, "no-member", "no replica", "start it")
	names(w, why("base-0001"), "base-unowned", "nobody owns", "start the controller")
	w.Must(w.Replicas[0].Start(t.Context()))
	well(w, why("well"), why("base-0001"))
}

// The same of the way to the broker: its certificate, its refusal, what is retained on it.
func TestKubectlModulesNamesTheCauseAtTheBroker(t *testing.T) {
	w := cluster.New(t).WithBroker()
	f, authority := newFront(w)
	_, port, _ := strings.Cut(f.Addr().String(), ":")
	w.WithController("MQTT_PORT="+port, "MQTT_CA_PATH="+authority)
	w.WithFleet(1).AwaitNodesReady(1)
	direct := func(args ...string) asking {
		return func() ([]world.Finding, time.Duration, error) { return w.CheckWith(args...) }
	}
	look := direct("--broker", "mqtts://"+f.Addr().String(), "--broker-ca", authority)
	well(w, w.Check, look)

	right := f.cert
	wrong, _ := certify(w, "wrong")
	f.become(func() { f.cert = wrong })
	names(w, w.Check, "tunnel-down", "does not trust the broker's certificate", "MQTT_CA_PATH")
	names(w, look, "tunnel-down", "does not trust the broker's certificate", "MQTT_CA_PATH")
	f.become(func() { f.cert, f.refuses = right, true })
	names(w, w.Check, "tunnel-down", "is refused by the broker", "MQTT_USERNAME")
	f.become(func() { f.refuses = false })
	w.AwaitNodesReady(1)
	well(w, w.Check, look)

	p, err := attacker.Connect(t.Context(), w.BrokerAddress(), "another-controller")
	w.Must(err)
	defer p.Close()
	w.Must(p.Publish(t.Context(), "koupleless_"+w.Env+"/base-0001/queryAllBiz", []byte("{}"), true))
	names(w, look, "retained-commands", "1 command is retained", "MQTT_CLEAR_RETAINED")
	w.Must(p.Publish(t.Context(), "koupleless_"+w.Env+"/base-0001/queryAllBiz", nil, true))
	well(w, look)
}

// The same of members, and of who else speaks for a base.
func TestKubectlModulesNamesTheCauseAtMembers(t *testing.T) {
	w := proxiedFleet(t, 2)
	w.APIUnreachable = true
	victim := w.Incarnation(1)
	w.Must(w.Links[1].API.Blackhole())
	w.AwaitOwned(world.Timeout, 2, victim)
	names(w, w.Check, "member-expired", "stopped renewing its membership", "see why it ended")
	w.Must(w.Links[1].API.Pass())
	w.AwaitIncarnation(1, victim)
	well(w, w.Check)
}

// The same of an address that another application has now.
func TestKubectlModulesNamesAnAddressThatIsReused(t *testing.T) {
	w := cluster.New(t).WithHTTP().WithController("LIST_INTERVAL=1s", "STALE_AFTER=10s").WithHTTPFleet(1, "--name", "shop")
	w.AwaitNodesReady(1)
	why := func() ([]world.Finding, time.Duration, error) { return w.Why("base-0001") }
	well(w, why)
	w.Must(w.Fleet.Do("base-0001", "stop"))
	w.Must(w.Fleet.Do("base-0001", "metadata?name=bank&version=1"))
	w.Must(w.Fleet.Do("base-0001", "start"))
	names(w, why, "address-reused", "bank 1", "wait")
	w.AwaitNodesReady(1)
	well(w, why)
}

// makeBasePod makes a Pod that runs and should be a base, gone after the test.
func makeBasePod(w *world.World, name string, change func(*corev1.Pod)) string {
	w.Helper()
	pods := cluster.Client.CoreV1().Pods(w.Env)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"base.koupleless.io/stack": "java"}},
		Spec: corev1.PodSpec{NodeName: "machine-" + w.Env, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	change(p)
	made, err := pods.Create(w.Context(), p, metav1.CreateOptions{})
	w.Must(err)
	made.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.9.0.1"}
	_, err = pods.UpdateStatus(w.Context(), made, metav1.UpdateOptions{})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(world.IgnoreNotFound(pods.Delete(context.Background(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})))
	})
	return name
}

// ownPod makes a pod of the installation itself with a status, until gone is called.
func ownPod(w *world.World, change func(*corev1.Pod)) (gone func()) {
	w.Helper()
	pods := cluster.Client.CoreV1().Pods(w.Installation())
	made, err := pods.Create(w.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: world.ReplicaName(9), Labels: map[string]string{"app.kubernetes.io/name": "module-controller"}},
		Spec: restricted(corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}, NodeName: "machine-" + w.Env})}, metav1.CreateOptions{})
	w.Must(err)
	end := func() {
		w.Must(world.IgnoreNotFound(pods.Delete(context.Background(), made.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})))
	}
	w.Cleanup(end)
	change(made)
	_, err = pods.UpdateStatus(w.Context(), made, metav1.UpdateOptions{})
	w.Must(err)
	return end
}

// restricted makes a pod's spec one that Pod Security's profile of that name admits.
func restricted(spec corev1.PodSpec) corev1.PodSpec {
	yes, no := true, false
	spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	for i := range spec.Containers {
		spec.Containers[i].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	}
	return spec
}

// withoutFlowSchema does something while the installation's FlowSchema is away.
func withoutFlowSchema(w *world.World, do func()) {
	w.Helper()
	schemas := cluster.Client.FlowcontrolV1().FlowSchemas()
	name := w.Installation() + "-leases"
	was, err := schemas.Get(w.Context(), name, metav1.GetOptions{})
	w.Must(err)
	w.Must(schemas.Delete(w.Context(), name, metav1.DeleteOptions{}))
	defer func() {
		was.ObjectMeta = metav1.ObjectMeta{Name: name, Labels: was.Labels, Annotations: was.Annotations}
		_, err := schemas.Create(context.Background(), was, metav1.CreateOptions{})
		w.Must(err)
	}()
	do()
}
