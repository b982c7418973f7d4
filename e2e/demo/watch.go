package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
)

const (
	namespace = "default"
	timeout   = 3 * time.Minute
)

var errNotYet = errors.New("not yet")

// watch shows how many of want are ready, whenever that changes, until all are.
func (s *show) watch(ctx context.Context, what string, want int, count func(context.Context) (int, error)) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%s were over before %d %s were ready", timeout, want, what))
	defer cancel()
	shown := -1
	err := harness.Until(ctx, func() error {
		ready, err := count(ctx)
		if err != nil {
			return err
		}
		if ready != shown {
			shown = ready
			s.say("%-5s %3d of %d ready %s", what, ready, want, bar(ready, want))
		}
		if ready < want {
			return errNotYet
		}
		return nil
	})
	return time.Since(began), err
}

func bar(done, all int) string {
	const width = 30
	line := make([]byte, width)
	for i := range line {
		line[i] = '.'
		if i*all < done*width {
			line[i] = '#'
		}
	}
	return string(line)
}

func (s *show) awaitNodes(ctx context.Context) (err error) {
	s.nodesReady, err = s.watch(ctx, "nodes", s.bases(), func(ctx context.Context) (int, error) {
		nodes, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + env})
		if err != nil {
			return 0, err
		}
		return len(slices.DeleteFunc(nodes.Items, func(n corev1.Node) bool {
			return !conditionTrue(n.Status.Conditions, corev1.NodeReady)
		})), nil
	})
	return err
}

func conditionTrue(conditions []corev1.NodeCondition, t corev1.NodeConditionType) bool {
	return slices.ContainsFunc(conditions, func(c corev1.NodeCondition) bool {
		return c.Type == t && c.Status == corev1.ConditionTrue
	})
}

func podReady(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// deploy creates a Deployment with one replica for each simulated base, and one
// for the real base where there is one: their jars are not at the same place.
func (s *show) deploy(ctx context.Context) error {
	s.say("creating Deployment orders with %d replicas", instances)
	if err := s.create(ctx, deployment("orders", "demo-base", "file:///opt/modules/orders-1.0.0-ark-biz.jar", instances)); err != nil {
		return err
	}
	if s.real == nil {
		return nil
	}
	s.say("creating Deployment orders-real on the JVM")
	return s.create(ctx, deployment("orders-real", "real-base", s.artifacts.Module("orders", "1.0.0"), 1))
}

func (s *show) create(ctx context.Context, d *appsv1.Deployment) error {
	_, err := s.client.AppsV1().Deployments(namespace).Create(ctx, d, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create deployment %s: %w", d.Name, err)
	}
	return nil
}

func deployment(name, base, url string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name, "virtual-kubelet.koupleless.io/component": "module"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name: "orders", Image: url, Env: []corev1.EnvVar{{Name: "BIZ_VERSION", Value: "1.0.0"}},
					}},
					NodeSelector: map[string]string{"vnode.koupleless.io/name": base},
					Tolerations: []corev1.Toleration{
						{Key: "schedule.koupleless.io/virtual-node", Operator: "Equal", Value: "True", Effect: "NoExecute"},
						{Key: "schedule.koupleless.io/node-env", Operator: "Equal", Value: env, Effect: "NoExecute"},
					},
					Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
						RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
							LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
							TopologyKey:   "kubernetes.io/hostname",
						}},
					}},
				},
			},
		},
	}
}

func (s *show) pods() int {
	if s.real != nil {
		return instances + 1
	}
	return instances
}

func (s *show) awaitPods(ctx context.Context) (err error) {
	s.podsReady, err = s.watch(ctx, "pods", s.pods(), func(ctx context.Context) (int, error) {
		pods, err := s.list(ctx)
		return len(slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !podReady(p) })), err
	})
	return err
}

func (s *show) list(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := s.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/component=module"})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return pods.Items, nil
}
