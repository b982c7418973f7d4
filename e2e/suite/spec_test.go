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
)

// What a pod's spec says of a module's environment and arguments reaches the base,
// over the tunnel that carries it.
func TestEnvironmentAndArgumentsReachTheBase(t *testing.T) {
	w := newWorld(t).withHTTP().withController().withHTTPFleet(1)
	w.nodesReady(1)
	_, err := client.CoreV1().ConfigMaps(w.env).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Data: map[string]string{"most": "7"}}, metav1.CreateOptions{})
	w.must(err)
	_, err = client.CoreV1().Secrets(w.env).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}, StringData: map[string]string{"TOKEN": "s3cret"}}, metav1.CreateOptions{})
	w.must(err)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"), func(p *corev1.Pod) {
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
	w.ready("stock")
	b, err := w.fleet.Base("base-0001")
	w.must(err)
	installs := slices.DeleteFunc(b.Commands, func(c harness.SimCommand) bool { return c.Command != "installBiz" })
	if len(installs) != 1 {
		t.Fatalf("%d installs: %+v", len(installs), b.Commands)
	}
	address := w.nodes()[0].Status.Addresses[0].Address
	for name, want := range map[string]string{"SHOP": "north", "MOST": "7", "TOKEN": "s3cret", "POD": "stock", "POD_IP": address, "HOST_IP": address} {
		if got := installs[0].Env[name]; got != want {
			t.Errorf("%s is %q at the base, want %q", name, got, want)
		}
	}
	if got := strings.Join(installs[0].Args, " "); got != "--greeting=hello --shop=north" {
		t.Errorf("arguments %q", got)
	}
}

// several adds modules to a pod.
func several(modules ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, m := range modules {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
				Name: m, Image: jar(m, "1.0.0"), Env: []corev1.EnvVar{{Name: "BIZ_VERSION", Value: "1.0.0"}},
			})
		}
	}
}

// A pod with several containers is several modules: Ready when all serve, gone when
// all are.
func TestAPodWithSeveralModules(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController("BACKOFF_FIRST=1s")
	w.nodesReady(1)
	w.must(w.fleet.Do("base-0001", "fail-installs?n=1"))
	w.pod("shop", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"), several("orders", "prices"))
	w.ready("shop")
	w.serves("base-0001", "orders:1.0.0", "prices:1.0.0", "stock:1.0.0")
	w.deletePod("shop")
	w.gone("shop", 10*time.Second)
	w.serves("base-0001")
	if c := w.counts(); c.Installs != 3 || c.Uninstalls != 3 {
		t.Errorf("installs %d, uninstalls %d; want 3 of each", c.Installs, c.Uninstalls)
	}
}

// A pod with more modules than are allowed says so, and nothing of it is done.
func TestAPodWithAThousandModules(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	var names []string
	for n := range 999 {
		names = append(names, fmt.Sprintf("m%d", n))
	}
	w.pod("many", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"), several(names...))
	w.waits("many", "InvalidModule", "1000", "64")
	w.pod("one", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.ready("one")
	w.serves("base-0001", "orders:1.0.0")
}

// A version that is changed in place: the old one goes, the new one serves.
func TestInPlaceVersionChange(t *testing.T) {
	w := newWorld(t).withHTTP().withController().withHTTPFleet(1)
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	// Kubernetes lets an image be changed in place, and nothing else: the version is
	// asked of the jar's name.
	patch := []byte(`{"spec":{"containers":[{"name":"stock","image":"` + jar("stock", "2.0.0") + `"}]}}`)
	_, err := client.CoreV1().Pods(w.env).Patch(t.Context(), "stock", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	w.must(err)
	w.waits("stock", "VersionMismatch", "1.0.0", "2.0.0")
}

// The same version deployed again: the new pod's module survives the deletion of
// the old pod.
func TestTheSameVersionDeployedAgain(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.pod("first", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("first")
	w.pod("second", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.waits("second", "DuplicateModule")
	w.deletePod("first", 0)
	w.gone("first", 5*time.Second)
	w.ready("second")
	w.serves("base-0001", "stock:1.0.0")
	w.deletePod("second", 0)
	w.gone("second", 5*time.Second)
	w.serves("base-0001")
}

func TestTheSameModuleTwiceAndSuccession(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.pod("first", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.ready("first")
	w.pod("second", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.waits("second", "DuplicateModule")
	w.deletePod("first")
	w.ready("second")
	w.gone("first", patience)
	b, err := w.fleet.Base("base-0001")
	w.must(err)
	if b.Installs["orders:1.0.0"] != 1 {
		t.Errorf("installed %d times, want once: the second pod takes over what serves", b.Installs["orders:1.0.0"])
	}
}

func TestInPlaceImageChangeInstallsTheNewJar(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	patch := []byte(`{"spec":{"containers":[{"name":"stock","image":"file:///opt/fixed/stock-1.0.0-ark-biz.jar"}]}}`)
	_, err := client.CoreV1().Pods(w.env).Patch(t.Context(), "stock", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	w.must(err)
	w.eventually(patience, func() error {
		b, err := w.fleet.Base("base-0001")
		p, perr := w.get("stock")
		if err != nil || perr != nil {
			return fmt.Errorf("%w %w", err, perr)
		}
		if b.Installs["stock:1.0.0"] != 2 || !podReady(*p) {
			return fmt.Errorf("installed %d times, ready %v", b.Installs["stock:1.0.0"], podReady(*p))
		}
		return nil
	})
}
