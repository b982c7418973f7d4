package pods

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
)

// usual is a pod of a Deployment as the API server has it, with the defaults and what the
// usual controllers add.
func usual(name, node string) *corev1.Pod {
	seconds, yes, priority, policy := int64(300), true, int32(0), corev1.PreemptLowerPriority
	toleration := func(key string) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}
	}
	account := "kube-api-access-x7k2p"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: "0f7c1c5e-8e0d-4c38-9e51-6a6d4a4f2b11", ResourceVersion: "1234567", Generation: 1, GenerateName: "orders-6d4cf56db6-",
			Labels:          map[string]string{plan.LabelComponent: plan.ComponentModule, "app": "orders", "pod-template-hash": "6d4cf56db6"},
			Annotations:     map[string]string{corev1.LastAppliedConfigAnnotation: string(make([]byte, 900)), "team": "shop"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "orders-6d4cf56db6", UID: "1", Controller: &yes}},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 1800))},
				{Manager: "module-controller", Subresource: "status", FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 900))},
			},
		},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: "default", DeprecatedServiceAccount: "default", RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
			SchedulerName: "default-scheduler", Priority: &priority, PreemptionPolicy: &policy, EnableServiceLinks: &yes, TerminationGracePeriodSeconds: &seconds,
			SecurityContext: &corev1.PodSecurityContext{}, NodeSelector: map[string]string{"base.koupleless.io/name": "shop"},
			Tolerations: []corev1.Toleration{toleration("schedule.koupleless.io/virtual-node"), toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")},
			Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: "kubernetes.io/hostname", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "orders"}},
			}}}},
			Volumes: []corev1.Volume{{Name: account, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &seconds, Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
			}}}}},
			Containers: []corev1.Container{{
				Name: "orders", Image: "https://repo.example.com/releases/com/example/orders/1.2.3/orders-1.2.3-ark-biz.jar",
				Env:                    []corev1.EnvVar{{Name: plan.EnvVersion, Value: "1.2.3"}, {Name: "LEVEL", Value: "info"}, secretVar("TOKEN", "s", "k", false)},
				Resources:              corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("20Mi")}},
				Ports:                  []corev1.ContainerPort{{ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
				ReadinessProbe:         &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 3},
				VolumeMounts:           []corev1.VolumeMount{{Name: account, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile, ImagePullPolicy: corev1.PullIfNotPresent,
			}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "192.0.2.1", HostIP: "192.0.2.1",
			Conditions: []corev1.PodCondition{
				condition(corev1.PodReady, corev1.ConditionTrue, ""), condition(corev1.ContainersReady, corev1.ConditionTrue, ""),
				condition(corev1.PodInitialized, corev1.ConditionTrue, ""), condition(corev1.PodScheduled, corev1.ConditionTrue, ""),
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "orders", Ready: true, Image: "https://repo.example.com/orders-1.2.3.jar", ContainerID: "koupleless://b/orders:1.2.3"}},
		},
	}
}

// The cache of pods has what is read, and what a pod asks for that a base cannot give.
func TestTheCacheHasWhatIsRead(t *testing.T) {
	full := usual("one", "a")
	full.Spec.Volumes = append(full.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "d"}}})
	full.Spec.Containers[0].VolumeMounts = append(full.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: "/data"})
	full.Spec.HostAliases, full.Spec.DNSConfig = []corev1.HostAlias{{IP: "192.0.2.7"}}, &corev1.PodDNSConfig{}
	full.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
	full.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "busybox"}}
	want := full.DeepCopy()
	want.ManagedFields, want.Annotations = nil, map[string]string{"team": "shop"}
	w := &want.Spec
	w.Affinity, w.Tolerations, w.NodeSelector, w.SecurityContext, w.DNSPolicy, w.SchedulerName = nil, nil, nil, nil, "", ""
	w.Priority, w.PreemptionPolicy, w.EnableServiceLinks = nil, nil, nil
	w.Volumes = w.Volumes[1:]
	c := &w.Containers[0]
	c.VolumeMounts, c.TerminationMessagePath, c.TerminationMessagePolicy, c.ImagePullPolicy = c.VolumeMounts[1:], "", "", ""
	got, err := slim(full)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// What virtual-kubelet is shown differs where it has to hand over, and there only.
func TestSkeletons(t *testing.T) {
	pod := usual("one", "a")
	s := skeleton(pod)
	if s.UID != pod.UID || keyOf(s) != keyOf(pod) || s.Spec.NodeName != "a" || !sameImages(s.Spec.Containers, pod.Spec.Containers) || s.Status.Phase != corev1.PodRunning {
		t.Errorf("the skeleton is %+v", s)
	}
	if s.Labels != nil || s.Annotations != nil || s.Spec.Containers[0].Env != nil {
		t.Errorf("it has more than is needed: %+v", s)
	}
}

// heap gives the bytes that n of something take, each.
func heap(n int, add func(i int)) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		add(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
}

// BenchmarkPodMemory measures what a pod takes in the cache of each replica, and what its
// owner keeps beside it.
func BenchmarkPodMemory(b *testing.B) {
	const n = 1000
	decode := func() *corev1.Pod {
		raw, err := usual("one", "a").Marshal()
		if err != nil {
			b.Fatal(err)
		}
		pod := &corev1.Pod{}
		if err := pod.Unmarshal(raw); err != nil {
			b.Fatal(err)
		}
		return pod
	}
	for b.Loop() {
		var kept []any
		b.ReportMetric(heap(n, func(int) {
			pod := decode()
			pod.ManagedFields = nil
			kept = append(kept, pod)
		}), "B/pod-before")
		var cached []*corev1.Pod
		b.ReportMetric(heap(n, func(int) {
			obj, _ := slim(decode())
			cached = append(cached, obj.(*corev1.Pod))
		}), "B/pod")
		b.ReportMetric(heap(n, func(i int) {
			env, _, err := resolve(cached[i], cached[i].Spec.Containers[0], map[reference]source{{kindSecret, "default", "s"}: {values: map[string]string{"k": "v"}}}, host{})
			if err != nil {
				b.Fatal(err)
			}
			kept = append(kept, newEntry(cached[i], []corev1.Container{{Name: "orders", Image: cached[i].Spec.Containers[0].Image, Env: env}}, time.Time{}), skeleton(cached[i]))
		}), "B/owned")
		runtime.KeepAlive(kept)
		runtime.KeepAlive(cached)
	}
}

// BenchmarkEvent measures what an event of a shown pod's status costs.
func BenchmarkEvent(b *testing.B) {
	s := newStore(newFacade(newInformer(fake.NewClientset())), func(string) {})
	s.serve("a")
	s.shows("a")
	one := usual("one", "a")
	s.facade.see(one)
	s.put(one, one.Spec.Containers)
	two := one.DeepCopy()
	two.Status.Conditions[0].Status = corev1.ConditionFalse
	states := []*corev1.Pod{two, one}
	for i := 0; b.Loop(); i++ {
		s.facade.see(states[i%2])
	}
}

// BenchmarkHideNode measures what it costs to let go of a Node with ten pods.
func BenchmarkHideNode(b *testing.B) {
	for _, n := range []int{1000, 30000} {
		b.Run(fmt.Sprint(n, " pods shown"), func(b *testing.B) {
			f := newFacade(newInformer(fake.NewClientset()))
			f.handler = cache.ResourceEventHandlerFuncs{}
			for i := range n {
				node := fmt.Sprint("n", i/10)
				f.showNode(node)
				f.see(podOn(fmt.Sprint("p", i), node, fmt.Sprint(i)))
			}
			hidden := slices.Collect(func(yield func(*corev1.Pod) bool) {
				for i := range 10 {
					yield(podOn(fmt.Sprint("p", i), "n0", fmt.Sprint(i)))
				}
			})
			for b.Loop() {
				f.hideNode("n0")
				f.showNode("n0")
				for _, pod := range hidden {
					f.see(pod)
				}
			}
		})
	}
}
