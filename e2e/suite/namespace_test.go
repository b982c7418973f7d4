package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// A namespace ends with all that is in it: modules that serve, one that never started, and
// pods that are no modules but were bound to VNodes all the same.
func TestANamespaceEnds(t *testing.T) {
	t.Parallel()
	const bases, replicas = 4, 2
	for what, strangers := range map[string]int{"with modules": 0, "with pods that are none": bases} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := withBases(t, bases)
			name := makeNamespace(w)
			makeModules(w, name, replicas)
			if strangers > 0 {
				makeStrangers(w, name)
			}
			awaitIn(w, name, replicas+bases, replicas+bases+1+strangers)
			timed(w, "deletion of a namespace", 60*time.Second, func() {
				w.Kubectl("delete", "namespace", name, "--timeout=60s")
				if _, err := cluster.Client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					t.Errorf("the namespace: %v", err)
				}
			})
			idle(w, bases)
		})
	}
}

// makeNamespace makes one beside the World's, which ends with the test.
func makeNamespace(w *world.World) string {
	w.Helper()
	name := w.Env + "-team"
	namespaces := cluster.Client.CoreV1().Namespaces()
	_, err := namespaces.Create(w.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() { // where the test failed
		w.Must(world.IgnoreNotFound(namespaces.Delete(context.Background(), name, metav1.DeleteOptions{})))
	})
	w.Eventually(world.Timeout, func() error {
		_, err := cluster.Client.CoreV1().ServiceAccounts(name).Get(w.Context(), "default", metav1.GetOptions{})
		return err
	})
	return name
}

// makeModules makes a Deployment, a DaemonSet, and a pod whose jar is missing.
func makeModules(w *world.World, namespace string, replicas int32) {
	w.Helper()
	_, err := cluster.Client.AppsV1().Deployments(namespace).Create(w.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selects("orders"), Template: template(w, "orders", apart("orders"))},
	}, metav1.CreateOptions{})
	w.Must(err)
	makeDaemonSet(w, namespace, "agent", template(w, "agent"))
	missing := template(w, "missing", func(s *corev1.PodSpec) { s.Containers[0].Image = "file:///opt/modules/missing.jar" })
	_, err = cluster.Client.CoreV1().Pods(namespace).Create(w.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "missing", Labels: missing.Labels}, Spec: missing.Spec,
	}, metav1.CreateOptions{})
	w.Must(err)
}

// makeStrangers makes a DaemonSet of pods that tolerate all and are no modules.
func makeStrangers(w *world.World, namespace string) {
	w.Helper()
	stranger := template(w, "exporter")
	delete(stranger.Labels, component)
	stranger.Spec.Containers[0].Image = "registry.example/exporter:1"
	makeDaemonSet(w, namespace, "exporter", stranger)
}

func makeDaemonSet(w *world.World, namespace, name string, t corev1.PodTemplateSpec) {
	w.Helper()
	_, err := cluster.Client.AppsV1().DaemonSets(namespace).Create(w.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DaemonSetSpec{Selector: selects(name), Template: t},
	}, metav1.CreateOptions{})
	w.Must(err)
}

// awaitIn waits until a namespace has so many pods, and so many of them are Ready.
func awaitIn(w *world.World, namespace string, ready, all int) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		pods, err := cluster.Client.CoreV1().Pods(namespace).List(w.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		is := 0
		for _, p := range pods.Items {
			if world.PodReady(p) {
				is++
			}
		}
		if is != ready || len(pods.Items) != all {
			return fmt.Errorf("%d of %d pods are ready, want %d of %d", is, len(pods.Items), ready, all)
		}
		return nil
	})
}
