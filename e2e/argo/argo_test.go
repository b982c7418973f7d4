//go:build argo

package argo

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"module-controller/e2e/process"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

const bases = 4

// A Rollout's canary is proved beside the old version, a step at a time. Undone in the
// midst of it, and restarted, it comes to what is wanted: no pod is stuck, and no base is
// ever without a module of it that serves.
func TestARolloutsCanary(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController()
	w.AwaitNodesReady(bases)
	r := start(t, w)
	r.create("1.0.0")
	r.awaitHealthy("1.0.0")

	r.set("2.0.0")
	r.awaitPaused("2.0.0")
	r.set("1.0.0") // an undo is a change like any other
	r.awaitHealthy("1.0.0")

	r.set("2.0.0")
	r.awaitPaused("2.0.0")
	r.patch("", fmt.Sprintf(`{"spec":{"restartAt":%q}}`, time.Now().UTC().Format(time.RFC3339)))
	r.patch("status", `{"status":{"pauseConditions":null,"controllerPause":false,"currentStepIndex":2}}`) // promoted, as its plugin does
	r.awaitHealthy("2.0.0")
	for n := range bases {
		w.AwaitServing(world.BaseID(n+1), "orders:2.0.0")
	}
}

// rollout is the Rollout of a test.
type rollout struct {
	*world.World
	client dynamic.ResourceInterface
}

// start runs Argo Rollouts' controller for a World's namespace.
func start(t *testing.T, w *world.World) rollout {
	t.Helper()
	built, err := build(t.Context())
	w.Must(err)
	definitions, err := filepath.Glob(filepath.Join(built.crds, "*-crd.yaml"))
	w.Must(err)
	for _, file := range definitions {
		w.Kubectl("apply", "--server-side", "-f", file)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), built.controller, "--kubeconfig", cluster.Plane.Kubeconfig(),
		"--namespaced", "--namespace", w.Env, "--leader-elect=false", "--metricsport", "0", "--healthzPort", "0")
	p, err := process.Start(cmd, filepath.Join(w.Dir, "argo-rollouts.log"))
	w.Must(err)
	t.Cleanup(func() { _ = p.Stop(10 * time.Second) })
	client, err := dynamic.NewForConfig(cluster.Plane.Config())
	w.Must(err)
	resource := schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	return rollout{World: w, client: client.Resource(resource).Namespace(w.Env)}
}

func (r rollout) create(version string) {
	r.Helper()
	labels := map[string]any{"app": "orders", "virtual-kubelet.koupleless.io/component": "module"}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": map[string]any{"name": "orders"},
		"spec": map[string]any{
			"replicas": int64(bases), "selector": map[string]any{"matchLabels": map[string]any{"app": "orders"}},
			"strategy": map[string]any{"canary": map[string]any{
				"maxSurge": int64(1), "maxUnavailable": int64(0),
				"steps": []any{map[string]any{"setWeight": int64(25)}, map[string]any{"pause": map[string]any{}}},
			}},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": r.podSpec(version)},
		},
	}}
	_, err := r.client.Create(r.Context(), o, metav1.CreateOptions{})
	r.Must(err)
}

// podSpec is a module's, with one pod of a revision on each base and a new one beside the
// old.
func (r rollout) podSpec(version string) map[string]any {
	tolerate := func(key, value string) map[string]any {
		return map[string]any{"key": "schedule.koupleless.io/" + key, "operator": "Equal", "value": value, "effect": "NoExecute"}
	}
	return map[string]any{
		"containers": []any{map[string]any{
			"name": "orders", "image": world.Jar("orders", version),
			"env": []any{map[string]any{"name": "BIZ_VERSION", "value": version}},
		}},
		"nodeSelector": map[string]any{"virtual-kubelet.koupleless.io/env": r.Env},
		"tolerations":  []any{tolerate("virtual-node", "True"), tolerate("node-env", r.Env)},
		"topologySpreadConstraints": []any{map[string]any{
			"maxSkew": int64(1), "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
			"labelSelector":  map[string]any{"matchLabels": map[string]any{"app": "orders"}},
			"matchLabelKeys": []any{"rollouts-pod-template-hash"},
		}},
	}
}

// set has the Rollout want another version.
func (r rollout) set(version string) {
	r.Helper()
	r.Eventually(world.Timeout, func() error {
		o, err := r.client.Get(r.Context(), "orders", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := unstructured.SetNestedMap(o.Object, r.podSpec(version), "spec", "template", "spec"); err != nil {
			return err
		}
		_, err = r.client.Update(r.Context(), o, metav1.UpdateOptions{})
		return err
	})
}

func (r rollout) patch(subresource, patch string) {
	r.Helper()
	var subresources []string
	if subresource != "" {
		subresources = append(subresources, subresource)
	}
	_, err := r.client.Patch(r.Context(), "orders", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	r.Must(err)
}

// awaitHealthy waits until the Rollout calls itself healthy, and all its pods are of the
// version and Ready.
func (r rollout) awaitHealthy(version string) {
	r.Helper()
	r.await("Healthy", func(ready []string) error {
		if !slices.Equal(ready, slices.Repeat([]string{version}, bases)) {
			return fmt.Errorf("pods that are Ready: %v", ready)
		}
		return nil
	})
}

// awaitPaused waits until the Rollout pauses with one pod of the version.
func (r rollout) awaitPaused(version string) {
	r.Helper()
	r.await("Paused", func(ready []string) error {
		if !slices.Contains(ready, version) {
			return fmt.Errorf("pods that are Ready: %v", ready)
		}
		return nil
	})
}

func (r rollout) await(phase string, check func(ready []string) error) {
	r.Helper()
	r.Eventually(world.Timeout, func() error {
		o, err := r.client.Get(r.Context(), "orders", metav1.GetOptions{})
		if err != nil {
			return err
		}
		is, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		seen, _, _ := unstructured.NestedString(o.Object, "status", "observedGeneration")
		if is != phase || seen != fmt.Sprint(o.GetGeneration()) {
			message, _, _ := unstructured.NestedString(o.Object, "status", "message")
			return fmt.Errorf("the Rollout is %s: %s (generation %d, observed %s)", is, message, o.GetGeneration(), seen)
		}
		var ready []string
		for _, p := range r.Pods("app=orders") {
			if world.PodReady(p) && p.DeletionTimestamp == nil {
				ready = append(ready, p.Spec.Containers[0].Env[0].Value)
			}
		}
		slices.Sort(ready)
		return check(ready)
	})
}
