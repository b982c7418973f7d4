package suite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// What a pod's spec says of a module's environment and arguments reaches the base,
// over the tunnel that carries it.
func TestEnvironmentAndArgumentsReachTheBase(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithEnvironmentAccess().WithHTTP().WithController().WithHTTPFleet(1)
	w.AwaitNodesReady(1)
	_, err := cluster.Client.CoreV1().ConfigMaps(w.Env).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Data: map[string]string{"most": "7"}}, metav1.CreateOptions{})
	w.Must(err)
	_, err = cluster.Client.CoreV1().Secrets(w.Env).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}, StringData: map[string]string{"TOKEN": "s3cret"}}, metav1.CreateOptions{})
	w.Must(err)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"), func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.Args = []string{"--greeting=hello", "--shop=$(SHOP)"}
		c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}}}
		c.Env = append(c.Env,
			corev1.EnvVar{Name: "SHOP", Value: "north"},
			corev1.EnvVar{Name: "MOST", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "limits"}, Key: "most"}}},
			corev1.EnvVar{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			corev1.EnvVar{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			corev1.EnvVar{Name: "HOST_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}})
	})
	w.AwaitReady("stock")
	b, err := w.Fleet.Base("base-0001")
	w.Must(err)
	installs := slices.DeleteFunc(b.Commands, func(c harness.SimCommand) bool { return c.Command != "installBiz" })
	if len(installs) != 1 {
		t.Fatalf("%d installs: %+v", len(installs), b.Commands)
	}
	address := w.Nodes()[0].Status.Addresses[0].Address
	for name, want := range map[string]string{"SHOP": "north", "MOST": "7", "TOKEN": "s3cret", "POD": "stock", "POD_IP": address, "HOST_IP": address} {
		if got := installs[0].Env[name]; got != want {
			t.Errorf("%s is %q at the base, want %q", name, got, want)
		}
	}
	if got := strings.Join(installs[0].Args, " "); got != "--greeting=hello --shop=north" {
		t.Errorf("arguments %q", got)
	}

	// A base that restarts gets the values of today.
	w.Kubectl("-n", w.Env, "patch", "configmap/limits", "-p", `{"data":{"most":"8"}}`)
	w.Must(w.Fleet.Do("base-0001", "restart"))
	w.Eventually(world.Timeout, func() error {
		b, err := w.Fleet.Base("base-0001")
		if err != nil {
			return err
		}
		installs := slices.DeleteFunc(b.Commands, func(c harness.SimCommand) bool { return c.Command != "installBiz" })
		last := installs[len(installs)-1]
		if len(installs) != 2 || last.Env["MOST"] != "8" || last.Env["TOKEN"] != "s3cret" {
			return fmt.Errorf("%d installs, the last with %v", len(installs), last.Env)
		}
		return nil
	})
	w.AwaitReady("stock")
}

// several adds modules to a pod.
func several(modules ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, m := range modules {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
				Name: m, Image: world.Jar(m, "1.0.0"), Env: []corev1.EnvVar{{Name: "BIZ_VERSION", Value: "1.0.0"}},
			})
		}
	}
}

// A pod with several containers is several modules: Ready when all serve, gone when
// all are.
func TestAPodWithSeveralModules(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("BACKOFF_BASE=1s")
	w.AwaitNodesReady(1)
	w.Must(w.Fleet.Do("base-0001", "fail-installs?n=1"))
	w.CreatePod("shop", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"), several("orders", "prices"))
	w.AwaitReady("shop")
	w.AwaitServing("base-0001", "orders:1.0.0", "prices:1.0.0", "stock:1.0.0")
	w.DeletePod("shop")
	w.AwaitGone("shop", 10*time.Second)
	w.AwaitServing("base-0001")
	if c := w.Counts(); c.Installs != 3 || c.Uninstalls != 3 {
		t.Errorf("installs %d, uninstalls %d; want 3 of each", c.Installs, c.Uninstalls)
	}
}

// A pod with more modules than are allowed says so, and nothing of it is done.
func TestAPodWithAThousandModules(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	var names []string
	for n := range 999 {
		names = append(names, fmt.Sprintf("m%d", n))
	}
	w.CreatePod("many", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"), several(names...))
	w.AwaitWaiting("many", "InvalidModule", "1000", "64")
	w.CreatePod("one", "base-0001", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("one")
	w.AwaitServing("base-0001", "orders:1.0.0")
}

// A version that is changed in place: the old one goes, the new one serves.
func TestInPlaceVersionChange(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP().WithController().WithHTTPFleet(1)
	w.AwaitNodesReady(1)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	// Kubernetes lets an image be changed in place, and nothing else: the version is
	// asked of the jar's name.
	patch := []byte(`{"spec":{"containers":[{"name":"stock","image":"` + world.Jar("stock", "2.0.0") + `"}]}}`)
	_, err := cluster.Client.CoreV1().Pods(w.Env).Patch(t.Context(), "stock", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	w.Must(err)
	w.AwaitWaiting("stock", "VersionMismatch", "1.0.0", "2.0.0")
}

// The same version deployed again: the new pod's module survives the deletion of
// the old pod.
func TestTheSameVersionDeployedAgain(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	w.CreatePod("first", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("first")
	w.CreatePod("second", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitWaiting("second", "DuplicateModule")
	w.DeletePod("first", 0)
	w.AwaitGone("first", 5*time.Second)
	w.AwaitReady("second")
	w.AwaitServing("base-0001", "stock:1.0.0")
	w.DeletePod("second", 0)
	w.AwaitGone("second", 5*time.Second)
	w.AwaitServing("base-0001")
}

func TestADuplicateModuleTakesOverWhatServes(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	w.CreatePod("first", "base-0001", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("first")
	w.CreatePod("second", "base-0001", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitWaiting("second", "DuplicateModule")
	w.DeletePod("first")
	w.AwaitReady("second")
	w.AwaitGone("first", world.Timeout)
	b, err := w.Fleet.Base("base-0001")
	w.Must(err)
	if b.Installs["orders:1.0.0"] != 1 {
		t.Errorf("installed %d times, want once: the second pod takes over what serves", b.Installs["orders:1.0.0"])
	}
}

func TestInPlaceImageChangeInstallsTheNewJar(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	patch := []byte(`{"spec":{"containers":[{"name":"stock","image":"file:///opt/fixed/stock-1.0.0-ark-biz.jar"}]}}`)
	_, err := cluster.Client.CoreV1().Pods(w.Env).Patch(t.Context(), "stock", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	w.Must(err)
	w.Eventually(world.Timeout, func() error {
		b, err := w.Fleet.Base("base-0001")
		p, perr := w.GetPod("stock")
		if err != nil || perr != nil {
			return fmt.Errorf("%w %w", err, perr)
		}
		if b.Installs["stock:1.0.0"] != 2 || !world.PodReady(*p) {
			return fmt.Errorf("installed %d times, ready %v", b.Installs["stock:1.0.0"], world.PodReady(*p))
		}
		return nil
	})
}
