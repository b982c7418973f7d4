package workloads

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	httptunnel "module-controller/tunnel/http"
)

func find(p *corev1.Pod) { p.Labels[LabelFind] = "true" }

// Who is asked: Pods that say so themselves, run, and are alone at their addresses. What they
// say of a base is theirs.
func TestWhichPodsAreAsked(t *testing.T) {
	at := func(port int, change func(*httptunnel.Quiet)) []httptunnel.Quiet {
		q := httptunnel.Quiet{Workload: workload("a", "", "10.0.0.1"), Port: port}
		q.Base.Hostname = "a"
		if change != nil {
			change(&q)
		}
		return []httptunnel.Quiet{q}
	}
	port := func(text string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{AnnotationPort: text} }
	}
	for name, c := range map[string]struct {
		pod  []func(*corev1.Pod)
		want []httptunnel.Quiet
	}{
		"at the default port": {nil, at(1238, nil)},
		"at another port":     {[]func(*corev1.Pod){port("8080")}, at(8080, nil)},
		"at no port":          {[]func(*corev1.Pod){port("http")}, at(0, nil)},
		"at a port below all": {[]func(*corev1.Pod){port("-1")}, at(0, nil)},
		"at a port too high":  {[]func(*corev1.Pod){port("65536")}, at(0, nil)},
		"described": {[]func(*corev1.Pod){func(p *corev1.Pod) {
			p.Labels["base.koupleless.io/name"], p.Labels["base.koupleless.io/version"], p.Labels["base.koupleless.io/cluster-name"] = "shop", "2", "blue"
		}}, at(1238, func(q *httptunnel.Quiet) { q.Base.Name, q.Base.Version, q.Base.Cluster = "shop", "2", "blue" })},
		"declared":                {[]func(*corev1.Pod){declared}, at(1238, func(q *httptunnel.Quiet) { q.Identity = "orders" })},
		"not labelled so":         {[]func(*corev1.Pod){func(p *corev1.Pod) { p.Labels[LabelFind] = "false" }}, nil},
		"no base's at all":        {[]func(*corev1.Pod){func(p *corev1.Pod) { delete(p.Labels, "base.koupleless.io/stack") }}, nil},
		"a module's":              {[]func(*corev1.Pod){module}, nil},
		"a module's, by its Node": {[]func(*corev1.Pod){onNode}, nil},
		"ended":                   {[]func(*corev1.Pod){ended}, nil},
		"being deleted":           {[]func(*corev1.Pod){terminating, func(p *corev1.Pod) { p.Finalizers = []string{"a/b"} }}, nil},
		"at its machine's":        {[]func(*corev1.Pod){hostNetwork}, nil},
		"nowhere yet":             {[]func(*corev1.Pod){func(p *corev1.Pod) { p.Status.PodIP, p.Status.PodIPs = "", nil }}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			pod := aPod("a", "10.0.0.1", append([]func(*corev1.Pod){find}, c.pod...)...)
			cl := newCluster(t, Config{Find: true}, []runtime.Object{pod, aPod("b", "10.0.0.2")}...)
			if early := cl.Quiet(); early != nil {
				t.Errorf("before any was seen: %+v", early)
			}
			if diff := cmp.Diff(c.want, cl.run(t).Quiet(), addresses); diff != "" {
				t.Error(diff)
			}
		})
	}
}
