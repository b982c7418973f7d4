package pods

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"module-controller/provider/plan"
)

// room is the room as it runs, in a bubble of its own time, with an API server in
// memory.
type room struct {
	*Pods
	t        *testing.T
	client   *fake.Clientset
	events   chan string
	refuses  atomic.Bool // the claim is not held now
	wakes    atomic.Int64
	apiFails atomic.Bool // the API server refuses to write pods
}

// running runs a room with objects on the API server, serving and showing Node a.
func running(t *testing.T, objects ...runtime.Object) *room {
	t.Helper()
	for _, o := range objects {
		if pod, ok := o.(*corev1.Pod); ok {
			pod.ResourceVersion = "5" // which the API server in memory does not give
		}
	}
	r := &room{t: t, client: fake.NewClientset(objects...)}
	recorder := record.NewFakeRecorder(100)
	r.events = recorder.Events
	r.client.PrependReactor("*", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		writes := map[string]bool{"patch": true, "delete": true, "update": true}[a.GetVerb()]
		return writes && r.apiFails.Load(), nil, errors.New("no")
	})
	r.Pods = New(Deps{Client: r.client, Recorder: recorder, Log: zap.NewNop(), Workers: 2}, Hooks{
		Wake:     func(string) { r.wakes.Add(1) },
		MayWrite: func(string) bool { return !r.refuses.Load() },
		Address:  func(string) string { return "192.0.2.9" },
	})
	ctx, end := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() {
		end()
		run.Wait()
	})
	for !r.HasSynced() {
		r.passes(time.Second)
	}
	r.Serve("a", time.Now())
	r.Show("a")
	r.passes(time.Second) // a pod's first turn comes after a millisecond
	return r
}

// passes has time pass, and waits until nothing is left to be done then.
func (r *room) passes(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// planned gives what the planner sees of the pod one on Node a.
func (r *room) planned() plan.Pod {
	r.t.Helper()
	for _, p := range r.On("a") {
		if p.Name == "one" {
			return p
		}
	}
	r.t.Fatal("there is no pod")
	return plan.Pod{}
}

// inAPI is the pod one as the API server has it; nil for none.
func (r *room) inAPI() *corev1.Pod {
	pod, err := r.client.CoreV1().Pods("default").Get(r.t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return pod
}

// withEnv is the pod one with an environment of several sources.
func withEnv() *corev1.Pod {
	pod := podOn("one", "a", "1")
	pod.Spec.Containers = []corev1.Container{{Name: "orders", Image: "file:///orders.jar", Env: []corev1.EnvVar{
		{Name: "PLAIN", Value: "x"},
		{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k"}}},
		{Name: "LEVEL", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Key: "k"}}},
	}}}
	return pod
}

func sources() (*corev1.Secret, *corev1.ConfigMap) {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "default", Name: name} }
	return &corev1.Secret{ObjectMeta: meta("s"), Data: map[string][]byte{"k": []byte("secret")}},
		&corev1.ConfigMap{ObjectMeta: meta("c"), Data: map[string]string{"k": "debug"}}
}

func TestAPodIsHandedOverWithItsEnvironmentResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, config := sources()
		r := running(t, withEnv(), secret, config)
		got := map[string]string{}
		for _, e := range r.planned().Spec.Containers[0].Env {
			got[e.Name] = e.Value
		}
		for name, want := range map[string]string{"PLAIN": "x", "POD_IP": "192.0.2.9", "TOKEN": "secret", "LEVEL": "debug"} {
			if got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		for name := range got {
			if strings.Contains(name, "SERVICE") {
				t.Errorf("it has the variable %s of a Service", name)
			}
		}
	})
}

// What cannot be resolved is told by the pod and by an Event, and is resolved once it is
// there.
func TestAPodWaitsForItsSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, config := sources()
		r := running(t, withEnv(), config)
		if why := r.planned().Unresolved; why == "" {
			t.Error("it does not say what it waits for")
		}
		r.passes(time.Minute)
		if e := <-r.events; e != `Warning Failed Error: secret "s" not found` || len(r.events) > 0 {
			t.Errorf("the Event is %q, and there are %d more", e, len(r.events))
		}
		_, err := r.client.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{})
		must(t, err)
		r.passes(2 * handoverRetryMax)
		if p := r.planned(); p.Unresolved != "" || p.Unsynced {
			t.Errorf("the Secret is there, and the pod is not handed over: %q", p.Unresolved)
		}
		for range len(r.events) {
			if e := <-r.events; strings.Contains(e, "Provider") {
				t.Errorf("virtual-kubelet's own Event is passed on: %s", e)
			}
		}
	})
}

// A pod of a namespace in which nothing may be read says all the time how to permit it,
// and is handed over once it is permitted.
func TestAPodSaysWhichRoleBindingIsMissing(t *testing.T) {
	for resource, object := range map[string]string{"secrets": "s", "configmaps": "c"} {
		t.Run(resource, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				secret, config := sources()
				r := running(t, secret, config)
				var bound atomic.Bool
				r.client.PrependReactor("get", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
					return !bound.Load(), nil, apierrors.NewForbidden(corev1.Resource(resource), object, errors.New("no"))
				})
				pod := withEnv()
				pod.ResourceVersion = "5"
				must(t, r.client.Tracker().Add(pod))
				r.passes(handoverRetryMax)
				told := r.wakes.Load()
				for range 3 {
					r.passes(handoverRetryMax)
					if now := r.wakes.Load(); now != told {
						t.Errorf("the base was woken %d times for nothing new", now-told)
					}
					if why := r.planned().Unresolved; !strings.Contains(why, "kubectl create rolebinding module-controller-environment -n default ") {
						t.Errorf("it does not say what to do: %q", why)
					}
				}
				bound.Store(true)
				r.passes(2 * handoverRetryMax)
				if p := r.planned(); p.Unresolved != "" || p.Unsynced {
					t.Errorf("it is permitted, and the pod is not handed over: %q", p.Unresolved)
				}
			})
		})
	}
}

// A status that may not be written now is not lost: it is tried again, and the pod shows
// it meanwhile.
func TestAStatusIsWrittenOnceItMayBe(t *testing.T) {
	for name, stop := range map[string]func(*room) *atomic.Bool{
		"the claim is not held":   func(r *room) *atomic.Bool { return &r.refuses },
		"the API does not answer": func(r *room) *atomic.Bool { return &r.apiFails },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := running(t, podOn("one", "a", "1"))
				stopped := stop(r)
				stopped.Store(true)
				r.Write(t.Context(), r.planned().Pod, corev1.PodStatus{Phase: corev1.PodRunning})
				r.passes(time.Second)
				if phase := r.inAPI().Status.Phase; phase != "" || !r.Writing("a") || r.planned().Status.Phase != corev1.PodRunning {
					t.Errorf("in the API it is %q, being written: %v, planned %q", phase, r.Writing("a"), r.planned().Status.Phase)
				}
				stopped.Store(false)
				r.passes(2 * statusRetryMax)
				if phase := r.inAPI().Status.Phase; phase != corev1.PodRunning || r.Writing("a") {
					t.Errorf("in the API it is %q, being written: %v", phase, r.Writing("a"))
				}
			})
		})
	}
}

// The last status wins, whatever became of those before.
func TestTheLastStatusIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t, podOn("one", "a", "1"))
		pod := r.planned().Pod
		for _, reason := range []string{"first", "second", "third"} {
			r.Write(t.Context(), pod, corev1.PodStatus{Reason: reason})
		}
		r.passes(time.Second)
		if got := r.inAPI().Status.Reason; got != "third" || r.Writing("a") {
			t.Errorf("it shows %q, being written: %v", got, r.Writing("a"))
		}
	})
}

// A Node that is forgotten is not written any more, and a deletion of its pods means
// nothing here; served again it has its pods again.
func TestAForgottenNodeIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t, podOn("one", "a", "1"))
		r.refuses.Store(true)
		r.Write(t.Context(), r.planned().Pod, corev1.PodStatus{Phase: corev1.PodRunning})
		r.Forget("a")
		r.refuses.Store(false) // somebody else's by now
		r.passes(2 * statusRetryMax)
		if phase := r.inAPI().Status.Phase; phase != "" {
			t.Errorf("it was written: %s", phase)
		}
		if p := r.planned(); !p.Unsynced || len(r.InCluster("a")) != 1 {
			t.Errorf("planned %+v, in the cluster %v", p, r.InCluster("a"))
		}
		r.Serve("a", time.Now())
		r.Show("a")
		r.passes(time.Second)
		if p := r.planned(); p.Unsynced || p.Gone {
			t.Errorf("served again: %+v", p)
		}
	})
}

// virtual-kubelet deletes a pod from the API when its grace is over, whatever became of
// its module. Here it stays until it is finished.
func TestADeletedPodStaysUntilItIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pod := podOn("one", "a", "1")
		pod.Status.Phase = corev1.PodRunning
		r := running(t, pod)
		leaving := pod.DeepCopy()
		now, grace := metav1.Now(), int64(1)
		leaving.DeletionTimestamp, leaving.DeletionGracePeriodSeconds = &now, &grace
		_, err := r.client.CoreV1().Pods("default").Update(t.Context(), leaving, metav1.UpdateOptions{})
		must(t, err)
		r.passes(time.Minute)
		if p := r.planned(); r.inAPI() == nil || p.Gone || p.DeletionTimestamp == nil {
			t.Fatalf("in the API %v, planned %+v", r.inAPI(), p)
		}
		r.Finish(t.Context(), plan.PodStatus{Pod: r.planned(), Status: corev1.PodStatus{Phase: corev1.PodSucceeded}, Finished: true})
		r.passes(time.Second)
		if left := r.On("a"); r.inAPI() != nil || len(left) > 0 {
			t.Errorf("finished, in the API %v, planned %v", r.inAPI(), left)
		}
	})
}

// A replica that ends before its caches are filled ends all the same, without an error.
func TestRunEndsBeforeItsCacheIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("no")
		})
		p := New(Deps{Client: client, Recorder: record.NewFakeRecorder(1), Log: zap.NewNop(), Workers: 1},
			Hooks{Wake: func(string) {}, MayWrite: func(string) bool { return true }, Address: noAddress})
		if p.HasSynced() {
			t.Error("it has synced before it runs")
		}
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if err := p.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// What others write of a pod's status wakes its Node at once, and no write of ours does.
func TestAStatusOfOthersWakesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t, podOn("one", "a", "1"))
		r.versions()
		before := r.wakes.Load()
		r.Write(t.Context(), r.planned().Pod, corev1.PodStatus{Phase: corev1.PodRunning})
		r.passes(time.Second)
		if phase := r.inAPI().Status.Phase; phase != corev1.PodRunning || r.wakes.Load() != before {
			t.Errorf("in the API it is %q, woken %d times", phase, r.wakes.Load()-before)
		}
		theirs := r.inAPI().DeepCopy()
		theirs.Status.Conditions = []corev1.PodCondition{condition("example.com/gate", corev1.ConditionTrue, "")}
		_, err := r.client.CoreV1().Pods("default").UpdateStatus(t.Context(), theirs, metav1.UpdateOptions{})
		must(t, err)
		synctest.Wait()
		if r.wakes.Load() != before+1 || len(r.planned().Status.Conditions) != 1 {
			t.Errorf("woken %d times, planned %+v", r.wakes.Load()-before, r.planned().Status)
		}
	})
}

// versions has the API server in memory count versions of pods from now on.
func (r *room) versions() {
	version := 5
	r.client.PrependReactor("*", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		writes := map[string]bool{"patch": true, "update": true}[a.GetVerb()]
		if !writes {
			return false, nil, nil
		}
		handled, obj, err := clienttesting.ObjectReaction(r.client.Tracker())(a)
		if pod, ok := obj.(*corev1.Pod); ok && err == nil {
			version++
			pod.ResourceVersion = strconv.Itoa(version)
			err = r.client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, pod.Namespace)
		}
		return handled, obj, err
	})
}

// With another image an environment is resolved anew, as of then; nothing else of a pod has
// that done.
func TestAnImageThatIsChangedIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, config := sources()
		r := running(t, withEnv(), secret, config)
		secret.Data["k"] = []byte("new")
		_, err := r.client.CoreV1().Secrets("default").Update(t.Context(), secret, metav1.UpdateOptions{})
		must(t, err)
		token := func() string {
			return r.planned().Spec.Containers[0].Env[2].Value
		}
		change := func(how func(*corev1.Pod)) {
			pod := r.inAPI().DeepCopy()
			how(pod)
			_, err := r.client.CoreV1().Pods("default").Update(t.Context(), pod, metav1.UpdateOptions{})
			must(t, err)
			r.passes(time.Second)
		}
		change(func(pod *corev1.Pod) { pod.Annotations = map[string]string{"x": "y"} })
		if got := r.planned(); token() != "secret" || got.Annotations["x"] != "y" {
			t.Errorf("annotated, the token is %q, planned %+v", token(), got.ObjectMeta)
		}
		change(func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = "file:///new.jar" })
		if got := r.planned(); token() != "new" || got.Spec.Containers[0].Image != "file:///new.jar" {
			t.Errorf("with another image the token is %q, planned %+v", token(), got.Spec.Containers[0])
		}
	})
}

// What is to be installed again gets the values of now, and what is missing by now is told.
func TestEnvironmentsAreResolvedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, config := sources()
		plain := podOn("plain", "a", "2")
		plain.Spec.Containers = []corev1.Container{{Name: "stock", Image: "file:///stock.jar", Env: []corev1.EnvVar{{Name: "PLAIN", Value: "x"}}}}
		r := running(t, withEnv(), plain, secret, config)
		level := func() string {
			for _, e := range r.planned().Spec.Containers[0].Env {
				if e.Name == "LEVEL" {
					return e.Value
				}
			}
			return ""
		}
		for _, p := range r.On("a") {
			if p.Resolved.IsZero() != (p.Name == "plain") {
				t.Errorf("%s was resolved at %s", p.Name, p.Resolved)
			}
		}
		configs := r.client.CoreV1().ConfigMaps("default")
		config.Data["k"] = "info"
		_, err := configs.Update(t.Context(), config, metav1.UpdateOptions{})
		must(t, err)
		was := r.planned().Resolved
		r.passes(time.Minute)
		if at := r.planned().Resolved; level() != "debug" || !at.Equal(was) {
			t.Errorf("nobody asked: level %s, resolved at %s", level(), at)
		}
		asked, wakes := time.Now(), r.wakes.Load()
		r.Renew("a", []types.UID{"1", "unknown"})
		r.Renew("a", []types.UID{"1"})
		if p := r.planned(); p.Resolved.After(was) || p.Unsynced {
			t.Errorf("nothing was read yet: %+v", p)
		}
		r.passes(time.Second)
		if p := r.planned(); level() != "info" || p.Resolved.Before(asked) || p.Unsynced || p.Unresolved != "" || r.wakes.Load() == wakes {
			t.Errorf("level %s, resolved at %s, woken %v", level(), p.Resolved, r.wakes.Load() > wakes)
		}
		must(t, configs.Delete(t.Context(), "c", metav1.DeleteOptions{}))
		r.Renew("a", []types.UID{"1"})
		r.passes(time.Second)
		if p := r.planned(); p.Unresolved == "" {
			t.Error("the ConfigMap is gone, and nothing tells it")
		}
		config.ResourceVersion = ""
		_, err = configs.Create(t.Context(), config, metav1.CreateOptions{})
		must(t, err)
		r.passes(2 * handoverRetryMax)
		if p := r.planned(); p.Unresolved != "" {
			t.Errorf("it is there again: %q", p.Unresolved)
		}
		r.Renew("b", []types.UID{"1"}) // which is not served
	})
}

// A status that the API server refuses is not written again and again, and keeps nobody
// from the base; the next one is written.
func TestAStatusThatIsRefused(t *testing.T) {
	gr := corev1.SchemeGroupVersion.WithKind("Pod").GroupKind()
	for name, refusal := range map[string]error{
		"invalid": apierrors.NewInvalid(gr, "one", nil), "bad": apierrors.NewBadRequest("no"), "too large": apierrors.NewRequestEntityTooLargeError("no"),
	} {
		synctest.Test(t, func(t *testing.T) {
			r := running(t, podOn("one", "a", "1"))
			writes := 0
			r.client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { writes++; return writes == 1, nil, refusal })
			r.Write(t.Context(), r.planned().Pod, statusOf("new"))
			r.passes(time.Minute)
			if writes != 1 || r.Writing("a") || r.planned().Status.Reason != "new" {
				t.Errorf("%s: written %d times, being written %v", name, writes, r.Writing("a"))
			}
			r.Write(t.Context(), r.planned().Pod, statusOf("next"))
			r.passes(time.Second)
			if got := r.inAPI().Status.Reason; got != "next" {
				t.Errorf("%s: the API server has %q", name, got)
			}
		})
	}
}
