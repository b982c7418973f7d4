package suite

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (w *world) nodes() []corev1.Node {
	w.Helper()
	list, err := client.CoreV1().Nodes().List(w.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	return list.Items
}

func nodeReady(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// nodesReady waits until there are that many Nodes, all Ready and free of the
// taint that the cluster gives to Nodes that are not.
func (w *world) nodesReady(want int) {
	w.Helper()
	w.eventually(patience, func() error {
		ready := 0
		nodes := w.nodes()
		for _, n := range nodes {
			if nodeReady(n) && len(n.Spec.Taints) == 2 {
				ready++
			}
		}
		if ready != want || len(nodes) != want {
			return fmt.Errorf("%d of %d nodes ready, want %d", ready, len(nodes), want)
		}
		return nil
	})
}

func (w *world) nodeOf(identity string) string { return "vnode." + identity + "." + w.env }

// modulePod is the spec of a pod with one module.
func (w *world) modulePod(module, version, url string) corev1.PodSpec {
	return corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: module, Image: url,
			Env: []corev1.EnvVar{{Name: "BIZ_VERSION", Value: version}},
		}},
		NodeSelector: map[string]string{"virtual-kubelet.koupleless.io/env": w.env},
		Tolerations: []corev1.Toleration{
			{Key: "schedule.koupleless.io/virtual-node", Operator: "Equal", Value: "True", Effect: "NoExecute"},
			{Key: "schedule.koupleless.io/node-env", Operator: "Equal", Value: w.env, Effect: "NoExecute"},
		},
	}
}

func jar(module, version string) string {
	return "file:///opt/modules/" + module + "-" + version + "-ark-biz.jar"
}

func moduleLabels(app string) map[string]string {
	return map[string]string{"app": app, "virtual-kubelet.koupleless.io/component": "module"}
}

// pod creates a pod on a base, past the scheduler.
func (w *world) pod(name, identity, module, version, url string, change ...func(*corev1.Pod)) *corev1.Pod {
	w.Helper()
	made, err := w.createPod(name, identity, module, version, url, change...)
	w.must(err)
	return made
}

func (w *world) createPod(name, identity, module, version, url string, change ...func(*corev1.Pod)) (*corev1.Pod, error) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: moduleLabels(module)}, Spec: w.modulePod(module, version, url)}
	p.Spec.NodeName = w.nodeOf(identity)
	for _, c := range change {
		c(p)
	}
	return client.CoreV1().Pods(w.env).Create(w.Context(), p, metav1.CreateOptions{})
}

// deployment creates a Deployment whose pods spread over bases, one on each.
func (w *world) deployment(module, version, url string, replicas int32, change ...func(*appsv1.Deployment)) {
	w.Helper()
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: module},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": module}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: moduleLabels(module)}, Spec: w.modulePod(module, version, url),
			},
		},
	}
	for _, c := range change {
		c(d)
	}
	_, err := client.AppsV1().Deployments(w.env).Create(w.Context(), d, metav1.CreateOptions{})
	w.must(err)
}

// setVersion changes a Deployment's module to another version, a rolling update.
func (w *world) setVersion(module, version, url string) {
	w.Helper()
	w.eventually(patience, func() error {
		d, err := client.AppsV1().Deployments(w.env).Get(w.Context(), module, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c := &d.Spec.Template.Spec.Containers[0]
		c.Image, c.Env[0].Value = url, version
		_, err = client.AppsV1().Deployments(w.env).Update(w.Context(), d, metav1.UpdateOptions{})
		return err
	})
}

func (w *world) pods(selector string) []corev1.Pod {
	w.Helper()
	list, err := client.CoreV1().Pods(w.env).List(w.Context(), metav1.ListOptions{LabelSelector: selector})
	w.must(err)
	return list.Items
}

func (w *world) get(name string) (*corev1.Pod, error) {
	return client.CoreV1().Pods(w.env).Get(w.Context(), name, metav1.GetOptions{})
}

func podReady(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// podsReady waits until there are that many pods, all Ready.
func (w *world) podsReady(selector string, want int) {
	w.Helper()
	w.eventually(patience, func() error {
		pods := w.pods(selector)
		ready := 0
		var last string
		for _, p := range pods {
			if podReady(p) {
				ready++
			} else {
				last = p.Name + ": " + waiting(p)
			}
		}
		if ready != want || len(pods) != want {
			return fmt.Errorf("%d of %d pods ready, want %d; %s", ready, len(pods), want, last)
		}
		return nil
	})
}

// waiting gives the reason and message of a pod's first waiting container.
func waiting(p corev1.Pod) string {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return s.State.Waiting.Reason + ": " + s.State.Waiting.Message
		}
	}
	return string(p.Status.Phase)
}

// waits waits until a pod's container waits for a reason, with all of parts in its
// message.
func (w *world) waits(name, reason string, parts ...string) {
	w.Helper()
	w.eventually(patience, func() error {
		p, err := w.get(name)
		if err != nil {
			return err
		}
		shown := waiting(*p)
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

// ready waits until one pod is Ready.
func (w *world) ready(name string) *corev1.Pod {
	w.Helper()
	var pod *corev1.Pod
	w.eventually(patience, func() (err error) {
		if pod, err = w.get(name); err == nil && !podReady(*pod) {
			err = fmt.Errorf("pod %s is not ready: %s", name, waiting(*pod))
		}
		return err
	})
	return pod
}
