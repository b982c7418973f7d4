package suite

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// ends is how long the end of pods may take that nothing holds up.
const ends = 20 * time.Second

// withBases starts a fleet over MQTT.
func withBases(t *testing.T, bases int, args ...string) *world.World {
	t.Helper()
	w := cluster.New(t).WithBroker().WithFleet(bases, args...).WithController("LIST_INTERVAL=2s", "BACKOFF_BASE=1s", "BACKOFF_MAX=4s")
	w.AwaitNodesReady(bases)
	return w
}

// template is a pod of a module, for whatever makes pods; it may be changed.
func template(w *world.World, module string, change ...func(*corev1.PodSpec)) corev1.PodTemplateSpec {
	w.Helper()
	t := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": module, component: "module"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: module, Image: world.Jar(module, "1.0.0"), Env: []corev1.EnvVar{{Name: "BIZ_VERSION", Value: "1.0.0"}},
			}},
			NodeSelector: map[string]string{"virtual-kubelet.koupleless.io/env": w.Env},
			Tolerations: []corev1.Toleration{
				{Key: "schedule.koupleless.io/virtual-node", Operator: corev1.TolerationOpExists},
				{Key: "schedule.koupleless.io/node-env", Operator: corev1.TolerationOpExists},
			},
		},
	}
	for _, c := range change {
		c(&t.Spec)
	}
	return t
}

func never(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyNever }

func selects(module string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": module}}
}

// timed does something and fails the test where it takes longer than it may.
func timed(w *world.World, what string, within time.Duration, do func()) {
	w.Helper()
	began := time.Now()
	do()
	took := time.Since(began)
	w.Logf("%s: %s", what, took.Round(10*time.Millisecond))
	if took > within {
		w.Errorf("%s took %s, may take %s", what, took, within)
	}
}

// idle waits until no base of a fleet serves anything.
func idle(w *world.World, bases int) {
	w.Helper()
	for n := range bases {
		w.AwaitServing(world.BaseID(n + 1))
	}
}

// A module never completes: a Job's pod that is deleted or evicted counts as failed, and
// is replaced.
func TestAJobsPodThatIsDeletedHasFailed(t *testing.T) {
	t.Parallel()
	const bases = 2
	w := withBases(t, bases)
	jobs := cluster.Client.BatchV1().Jobs(w.Env)
	limit := int32(6)
	_, err := jobs.Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "import"},
		Spec:       batchv1.JobSpec{BackoffLimit: &limit, Template: template(w, "import", never)},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.AwaitPodsReady("app=import", 1)
	for failed := int32(1); failed <= 2; failed++ {
		pod := w.Pods("app=import")[0]
		if failed == 1 {
			w.DeletePod(pod.Name)
		} else {
			w.Kubectl("drain", pod.Spec.NodeName, "--force", "--timeout=30s")
		}
		w.Eventually(time.Minute, func() error {
			job, err := jobs.Get(t.Context(), "import", metav1.GetOptions{})
			if err == nil && (job.Status.Failed != failed || job.Status.Succeeded != 0 || len(job.Status.Conditions) != 0) {
				err = fmt.Errorf("the Job shows %+v, want %d failed", job.Status, failed)
			}
			return err
		})
		w.AwaitPodsReady("app=import", 1)
		if now := w.Pods("app=import")[0]; now.UID == pod.UID {
			t.Error("the pod was not replaced")
		}
	}
	timed(w, "deletion of a Job", ends, func() {
		w.Kubectl("-n", w.Env, "delete", "job/import", "--timeout=20s")
		w.AwaitPodsReady("app=import", 0)
	})
	idle(w, bases)
}

// The pods of a CronJob's runs go with it.
func TestACronJobEndsWithItsRuns(t *testing.T) {
	t.Parallel()
	const bases = 2
	w := withBases(t, bases)
	_, err := cluster.Client.BatchV1().CronJobs(w.Env).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "import"},
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", ConcurrencyPolicy: batchv1.ForbidConcurrent,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template(w, "import", never)}},
		},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.Kubectl("-n", w.Env, "create", "job", "--from=cronjob/import", "run")
	w.AwaitPodsReady("app=import", 1)
	timed(w, "deletion of a CronJob", ends, func() {
		w.Kubectl("-n", w.Env, "delete", "cronjob/import", "--cascade=foreground", "--timeout=20s")
		w.AwaitPodsReady("app=import", 0)
	})
	idle(w, bases)
}

// A DaemonSet has a pod on each base: it is updated, a Node is drained beside it, and it
// ends.
func TestADaemonSetFromItsBasesToItsEnd(t *testing.T) {
	t.Parallel()
	const bases = 20
	w := withBases(t, bases)
	sets := cluster.Client.AppsV1().DaemonSets(w.Env)
	set, err := sets.Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: selects("agent"), Template: template(w, "agent")},
	}, metav1.CreateOptions{})
	w.Must(err)
	timed(w, "a DaemonSet's start", ends, func() { w.AwaitPodsReady("app=agent", bases) })
	timed(w, "a DaemonSet's update", time.Minute, func() {
		w.Kubectl("-n", w.Env, "patch", "ds/agent", "-p", fmt.Sprintf(
			`{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"25%%"}},"template":{"spec":{"containers":[{"name":"agent","image":%q,"env":[{"name":"BIZ_VERSION","value":"2.0.0"}]}]}}}}`,
			world.Jar("agent", "2.0.0")))
		w.Kubectl("-n", w.Env, "rollout", "status", "ds/agent", "--timeout=60s")
	})
	for n := range bases {
		w.AwaitServing(world.BaseID(n+1), "agent:2.0.0")
	}
	timed(w, "a DaemonSet's undo", time.Minute, func() {
		w.Kubectl("-n", w.Env, "rollout", "undo", "ds/agent")
		w.Kubectl("-n", w.Env, "rollout", "status", "ds/agent", "--timeout=60s")
	})
	for n := range bases {
		w.AwaitServing(world.BaseID(n+1), "agent:1.0.0")
	}
	node := w.NodeName(world.BaseID(1))
	timed(w, "a drain beside a DaemonSet", ends, func() { w.Kubectl("drain", node, "--ignore-daemonsets", "--timeout=20s") })
	w.AwaitPodsReady("app=agent", bases)
	w.Kubectl("uncordon", node)
	timed(w, "deletion of a DaemonSet", ends, func() {
		w.Kubectl("-n", w.Env, "delete", "ds/"+set.Name, "--cascade=foreground", "--timeout=20s")
	})
	idle(w, bases)
}

// A StatefulSet is started, updated, scaled and ended, one pod after the other or all at
// once; each pod keeps its name.
func TestStatefulSetsFromTheirBasesToTheirEnd(t *testing.T) {
	t.Parallel()
	const bases, replicas = 6, int32(4)
	for _, policy := range []appsv1.PodManagementPolicyType{appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			w := withBases(t, bases)
			count := replicas
			set := &appsv1.StatefulSet{
				ObjectMeta: metav1.ObjectMeta{Name: "shard"},
				Spec: appsv1.StatefulSetSpec{
					Replicas: &count, Selector: selects("shard"), PodManagementPolicy: policy, ServiceName: "shard",
					Template: template(w, "shard", apart("shard")),
				},
			}
			_, err := cluster.Client.AppsV1().StatefulSets(w.Env).Create(t.Context(), set, metav1.CreateOptions{})
			w.Must(err)
			timed(w, "start", ends, func() { w.AwaitPodsReady("app=shard", int(replicas)) })
			timed(w, "update", time.Minute, func() {
				w.Kubectl("-n", w.Env, "patch", "sts/shard", "-p", fmt.Sprintf(
					`{"spec":{"template":{"spec":{"containers":[{"name":"shard","image":%q,"env":[{"name":"BIZ_VERSION","value":"2.0.0"}]}]}}}}`,
					world.Jar("shard", "2.0.0")))
				w.Kubectl("-n", w.Env, "rollout", "status", "sts/shard", "--timeout=60s")
				w.AwaitPodsReady("app=shard", int(replicas))
			})
			timed(w, "undo", time.Minute, func() {
				w.Kubectl("-n", w.Env, "rollout", "undo", "sts/shard")
				w.Kubectl("-n", w.Env, "rollout", "status", "sts/shard", "--timeout=60s")
				w.AwaitPodsReady("app=shard", int(replicas))
			})
			for _, p := range w.Pods("app=shard") {
				if p.Spec.Containers[0].Env[0].Value != "1.0.0" {
					t.Errorf("after the undo %s wants %s", p.Name, p.Spec.Containers[0].Image)
				}
			}
			timed(w, "restart", time.Minute, func() {
				w.Kubectl("-n", w.Env, "rollout", "restart", "sts/shard")
				w.Kubectl("-n", w.Env, "rollout", "status", "sts/shard", "--timeout=60s")
			})
			timed(w, "scale to none and back", time.Minute, func() {
				w.Kubectl("-n", w.Env, "scale", "sts/shard", "--replicas=0")
				w.AwaitPodsReady("app=shard", 0)
				w.Kubectl("-n", w.Env, "scale", "sts/shard", "--replicas=4")
				w.AwaitPodsReady("app=shard", int(replicas))
			})
			timed(w, "deletion", ends, func() {
				w.Kubectl("-n", w.Env, "delete", "sts/shard", "--cascade=foreground", "--timeout=20s")
			})
			idle(w, bases)
		})
	}
}

// apart places a module's pods on a base each.
func apart(module string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{LabelSelector: selects(module), TopologyKey: "kubernetes.io/hostname"}},
		}}
	}
}
