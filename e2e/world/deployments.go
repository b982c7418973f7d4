package world

import (
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// CreateDeployment creates a Deployment of a module, which is its name and its label
// "app". Its pods go to whatever bases, unless a change is Spread.
func (a *API) CreateDeployment(module, version, url string, replicas int32, change ...func(*appsv1.Deployment)) {
	a.Helper()
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: module},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": module}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: moduleLabels(module)}, Spec: a.podSpec(module, version, url),
			},
		},
	}
	for _, c := range change {
		c(d)
	}
	_, err := a.cluster.Client.AppsV1().Deployments(a.Env).Create(a.Context(), d, metav1.CreateOptions{})
	a.Must(err)
}

// Spread has a Deployment place one pod on each base.
func Spread(d *appsv1.Deployment) {
	d.Spec.Template.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: d.Spec.Selector, TopologyKey: "kubernetes.io/hostname",
		}},
	}}
}

// meets is a label of pods that may be on one base with those of another revision.
const meets = "meets"

// SpreadRevisions has a Deployment place one pod of each revision on a base, as the
// README's does: a new version starts beside the old one.
func SpreadRevisions(d *appsv1.Deployment) {
	Spread(d)
	d.Spec.Template.Labels[meets] = "true"
	terms := d.Spec.Template.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	terms[0].MatchLabelKeys = []string{"pod-template-hash"}
}

// Only has a Deployment that is spread use no bases but some.
func (a *API) Only(identities ...string) func(*appsv1.Deployment) {
	var nodes []string
	for _, id := range identities {
		nodes = append(nodes, a.NodeName(id))
	}
	return func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: nodes},
			}}},
		}}
	}
}

// Surge lets a Deployment of one replica be updated without a gap.
func Surge(d *appsv1.Deployment) {
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	d.Spec.Strategy = appsv1.DeploymentStrategy{
		Type:          appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one},
	}
}

// SetVersion changes a Deployment's module to another version, a rolling update.
func (a *API) SetVersion(module, version, url string) {
	a.Helper()
	a.Eventually(Timeout, func() error { return a.trySetVersion(module, version, url) })
}

// trySetVersion is SetVersion, from any goroutine. A conflict is an error.
func (a *API) trySetVersion(module, version, url string) error {
	deployments := a.cluster.Client.AppsV1().Deployments(a.Env)
	d, err := deployments.Get(a.Context(), module, metav1.GetOptions{})
	if err != nil {
		return err
	}
	c := &d.Spec.Template.Spec.Containers[0]
	c.Image, c.Env[0].Value = url, version
	_, err = deployments.Update(a.Context(), d, metav1.UpdateOptions{})
	return err
}

// AwaitOnlyVersion waits until a Deployment's pods are one, of a version, and Ready.
func (a *API) AwaitOnlyVersion(app, version string) {
	a.Helper()
	a.Eventually(Timeout, func() error {
		pods := a.Pods("app=" + app)
		if len(pods) == 0 {
			return fmt.Errorf("no pods of %s", app)
		}
		is := pods[0].Spec.Containers[0].Env[0].Value
		if len(pods) != 1 || is != version || !PodReady(pods[0]) {
			return fmt.Errorf("%d pods, the first of version %s: %s", len(pods), is, Waiting(pods[0]))
		}
		return nil
	})
}

// AwaitOneEach waits until a Deployment has so many replicas, all Ready and one a base. Its name
// is its pods' label "app".
func (a *API) AwaitOneEach(name string, want int) {
	a.Helper()
	a.Eventually(2*Timeout, func() error {
		if n := a.replicasOf(name); n != int32(want) {
			return fmt.Errorf("%d replicas, want %d", n, want)
		}
		on := map[string]bool{}
		for _, p := range a.Pods("app=" + name) {
			if !PodReady(p) {
				return fmt.Errorf("pod %s is not ready: %s", p.Name, Waiting(p))
			}
			on[p.Spec.NodeName] = true
		}
		if len(on) != want {
			return fmt.Errorf("pods are on %d bases, want %d", len(on), want)
		}
		return nil
	})
}

func (a *API) replicasOf(name string) int32 {
	a.Helper()
	d, err := a.cluster.Client.AppsV1().Deployments(a.Env).Get(a.Context(), name, metav1.GetOptions{})
	a.Must(err)
	return *d.Spec.Replicas
}

// WatchReplicas records the replicas that a Deployment gets, until changes is called, which
// gives them.
func (a *API) WatchReplicas(name string) (changes func() []int32) {
	a.Helper()
	was := a.replicasOf(name)
	watcher, err := a.cluster.Client.AppsV1().Deployments(a.Env).Watch(a.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	a.Must(err)
	var seen []int32
	var watching sync.WaitGroup
	watching.Go(func() {
		for e := range watcher.ResultChan() {
			if d, ok := e.Object.(*appsv1.Deployment); ok && *d.Spec.Replicas != was {
				was = *d.Spec.Replicas
				seen = append(seen, was)
			}
		}
	})
	return func() []int32 {
		watcher.Stop()
		watching.Wait()
		return seen
	}
}
