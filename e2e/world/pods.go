package world

import (
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Jar is the URL of a module's jar, as simulated bases know it.
func Jar(module, version string) string {
	return "file:///opt/modules/" + module + "-" + version + "-ark-biz.jar"
}

func moduleLabels(app string) map[string]string {
	return map[string]string{"app": app, "virtual-kubelet.koupleless.io/component": "module"}
}

// podSpec is the spec of a pod with one module.
func (a *API) podSpec(module, version, url string) corev1.PodSpec {
	return corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: module, Image: url,
			Env: []corev1.EnvVar{{Name: "BIZ_VERSION", Value: version}},
		}},
		NodeSelector: map[string]string{"virtual-kubelet.koupleless.io/env": a.Env},
		Tolerations: []corev1.Toleration{
			{Key: "schedule.koupleless.io/virtual-node", Operator: "Equal", Value: "True", Effect: "NoExecute"},
			{Key: "schedule.koupleless.io/node-env", Operator: "Equal", Value: a.Env, Effect: "NoExecute"},
		},
	}
}

// CreatePod creates a pod with a module on a base, past the scheduler.
func (a *API) CreatePod(name, identity, module, version, url string, change ...func(*corev1.Pod)) *corev1.Pod {
	a.Helper()
	made, err := a.TryCreatePod(name, identity, module, version, url, change...)
	a.Must(err)
	return made
}

// TryCreatePod is CreatePod, from any goroutine.
func (a *API) TryCreatePod(name, identity, module, version, url string, change ...func(*corev1.Pod)) (*corev1.Pod, error) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: moduleLabels(module)}, Spec: a.podSpec(module, version, url)}
	p.Spec.NodeName = a.NodeName(identity)
	for _, c := range change {
		c(p)
	}
	return a.cluster.Client.CoreV1().Pods(a.Env).Create(a.Context(), p, metav1.CreateOptions{})
}

// DeletePod deletes a pod, with its own grace period or with one of so many seconds.
func (a *API) DeletePod(name string, grace ...int64) {
	a.Helper()
	var opts metav1.DeleteOptions
	if len(grace) > 0 {
		opts.GracePeriodSeconds = &grace[0]
	}
	a.Must(a.cluster.Client.CoreV1().Pods(a.Env).Delete(a.Context(), name, opts))
}

// Pods lists the pods that carry a label, such as "app=stock".
func (a *API) Pods(selector string) []corev1.Pod {
	a.Helper()
	list, err := a.cluster.Client.CoreV1().Pods(a.Env).List(a.Context(), metav1.ListOptions{LabelSelector: selector})
	a.Must(err)
	return list.Items
}

// GetPod reads one pod.
func (a *API) GetPod(name string) (*corev1.Pod, error) {
	return a.cluster.Client.CoreV1().Pods(a.Env).Get(a.Context(), name, metav1.GetOptions{})
}

// PodReady says whether a pod is Ready.
func PodReady(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// ReadySince gives the Ready condition of each pod and since when it is so, by UID.
func ReadySince(pods []corev1.Pod) map[string]string {
	since := map[string]string{}
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady {
				since[string(p.UID)] = string(c.Status) + c.LastTransitionTime.String()
			}
		}
	}
	return since
}

// CheckReadySince checks that the same pods are Ready since the same moments.
func (a *API) CheckReadySince(ready map[string]string, selector string) {
	a.Helper()
	if now := ReadySince(a.Pods(selector)); !maps.Equal(now, ready) {
		a.Errorf("ready since %v, was %v", now, ready)
	}
}

// Waiting gives the reason and message of a pod's first waiting container, "reason:
// message", or the pod's phase.
func Waiting(p corev1.Pod) string {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return s.State.Waiting.Reason + ": " + s.State.Waiting.Message
		}
	}
	return string(p.Status.Phase)
}

// ContainsAny says whether a text contains one of parts.
func ContainsAny(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// AwaitWaiting waits until a pod's container waits for a reason, with all of parts in
// its message.
func (a *API) AwaitWaiting(name, reason string, parts ...string) {
	a.Helper()
	a.Eventually(Timeout, func() error {
		p, err := a.GetPod(name)
		if err != nil {
			return err
		}
		shown := Waiting(*p)
		if !strings.HasPrefix(shown, reason+": ") {
			return fmt.Errorf("pod %s shows %q, want %s", name, shown, reason)
		}
		for _, part := range parts {
			if !strings.Contains(shown, part) {
				return fmt.Errorf("pod %s shows %q, want %q in it", name, shown, part)
			}
		}
		return nil
	})
}

// AwaitReady waits until one pod is Ready.
func (a *API) AwaitReady(name string) *corev1.Pod {
	a.Helper()
	var pod *corev1.Pod
	a.Eventually(Timeout, func() (err error) {
		if pod, err = a.GetPod(name); err == nil && !PodReady(*pod) {
			err = fmt.Errorf("pod %s is not ready: %s", name, Waiting(*pod))
		}
		return err
	})
	return pod
}

// AwaitPodsReady waits until there are that many pods, all Ready.
func (a *API) AwaitPodsReady(selector string, want int) {
	a.Helper()
	a.Eventually(Timeout, func() error {
		pods := a.Pods(selector)
		ready := 0
		var last string
		for _, p := range pods {
			if PodReady(p) {
				ready++
			} else {
				last = p.Name + ": " + Waiting(p)
			}
		}
		if ready != want || len(pods) != want {
			return fmt.Errorf("%d of %d pods ready, want %d; %s", ready, len(pods), want, last)
		}
		return nil
	})
}

// AwaitGone waits until a pod is gone from the API.
func (a *API) AwaitGone(name string, within time.Duration) {
	a.Helper()
	a.Eventually(within, func() error {
		_, err := a.GetPod(name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("pod %s is still there", name)
		}
		return err
	})
}
