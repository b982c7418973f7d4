package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

// The test binary is also the program that pods run: with AGENT_TEST_LISTEN it serves
// /ready there until it is told to end.
func TestMain(m *testing.M) {
	if address := os.Getenv("AGENT_TEST_LISTEN"); address != "" {
		fmt.Println("serving", address, strings.Join(os.Args[1:], " "))
		http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
		fmt.Println(http.ListenAndServe(address, nil))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// timeout bounds every wait; what is waited for takes about a second.
const timeout = 30 * time.Second

// cluster is an API without a server, and an agent on it.
type cluster struct {
	*testing.T
	client kubernetes.Interface
	agent  *Agent
	dir    string
	seen   []*process.Process // that ran; none may outlive the agent
}

func start(t *testing.T) *cluster {
	t.Helper()
	before := goleak.IgnoreCurrent()
	client := fake.NewClientset()
	client.PrependReactor("create", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{
			Token: "secret", ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour)),
		}}, nil
	})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, client: client, dir: t.TempDir()}
	c.agent, err = Start(t.Context(), Options{
		Client: client, Config: &rest.Config{Host: "https://127.0.0.1:6443"}, NodeName: "machine", Binary: program, Dir: c.dir,
		Ports: map[string]string{"health": "AGENT_TEST_LISTEN=127.0.0.1:%d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.agent.Stop(); err != nil {
			t.Error(err)
		}
		for _, p := range c.seen {
			if !p.Ended() {
				t.Errorf("process %d outlives the agent", p.PID())
			}
		}
		goleak.VerifyNone(t, before)
	})
	return c
}

// bind creates a pod on the agent's Node whose readiness is probed each second.
func (c *cluster) bind(name string, change ...func(*corev1.Pod)) {
	c.Helper()
	pod := podWith()
	pod.Name, pod.UID = name, "uid-of-"+pod.UID
	pod.Spec.TerminationGracePeriodSeconds = new(int64(5))
	pod.Spec.Containers[0].Args = []string{"--pod=$(POD)"}
	pod.Spec.Containers[0].Env = []corev1.EnvVar{fieldRef("POD", "metadata.name")}
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "health", ContainerPort: 8080}}
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("health")}},
		PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 1,
	}
	for _, f := range change {
		f(pod)
	}
	if _, err := c.client.CoreV1().Pods("n").Create(c.Context(), pod, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
}

// await waits until a pod shows what it should.
func (c *cluster) await(name string, want func(corev1.PodStatus) bool) corev1.PodStatus {
	c.Helper()
	var status corev1.PodStatus
	c.until(func() error {
		pod, err := c.client.CoreV1().Pods("n").Get(c.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if status = pod.Status; len(status.ContainerStatuses) != 1 || !want(status) {
			return fmt.Errorf("pod %s shows %+v", name, status)
		}
		return nil
	})
	return status
}

func (c *cluster) until(check func() error) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), timeout)
	defer cancel()
	if err := harness.Until(ctx, check); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) process(name string) *process.Process {
	c.Helper()
	p, err := c.agent.Process(name)
	if err != nil {
		c.Fatal(err)
	}
	c.seen = append(c.seen, p)
	return p
}

func ready(s corev1.PodStatus) bool {
	return slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func TestTheNodeIsReady(t *testing.T) {
	c := start(t)
	node, err := c.client.CoreV1().Nodes().Get(t.Context(), "machine", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	}) {
		t.Errorf("the Node shows %+v", node.Status.Conditions)
	}
	c.until(func() error {
		_, err := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), "machine", metav1.GetOptions{})
		return err
	})
}

// A pod runs from its binding to its deletion, and its process is started again when it
// ended.
func TestAPodRuns(t *testing.T) {
	c := start(t)
	c.bind("p")
	first := c.await("p", ready)
	if s := first.ContainerStatuses[0]; first.Phase != corev1.PodRunning || s.State.Running == nil || s.RestartCount != 0 {
		t.Errorf("a pod that runs shows %+v", first)
	}
	if log, err := os.ReadFile(c.agent.Log("p")); err != nil || !strings.Contains(string(log), "--pod=p") {
		t.Errorf("the process said %q (%v), want its argument", log, err)
	}
	if token, err := os.ReadFile(filepath.Join(c.dir, "p.uid-of-u", "token")); err != nil || string(token) != "secret" {
		t.Errorf("the pod's token is %q (%v)", token, err)
	}
	if err := c.process("p").Kill(); err != nil {
		t.Fatal(err)
	}
	again := c.await("p", func(s corev1.PodStatus) bool { return ready(s) && s.ContainerStatuses[0].RestartCount == 1 })
	if end := again.ContainerStatuses[0].LastTerminationState.Terminated; end == nil || end.ExitCode != 137 || end.Reason != "Error" {
		t.Errorf("a killed process shows %+v", end)
	}
	last := c.process("p")
	c.delete("p")
	c.until(func() error {
		_, err := c.client.CoreV1().Pods("n").Get(t.Context(), "p", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the pod is still there"), err)
	})
	if !last.Ended() {
		t.Error("the pod is gone, and its process runs")
	}
}

// delete marks a pod as the API server does: it is the agent that removes it.
func (c *cluster) delete(name string) {
	c.Helper()
	pods := c.client.CoreV1().Pods("n")
	pod, err := pods.Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	now := metav1.Now()
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, pod.Spec.TerminationGracePeriodSeconds
	if _, err := pods.Update(c.Context(), pod, metav1.UpdateOptions{}); err != nil {
		c.Fatal(err)
	}
}

// A pod that asks for what the agent does not support is not started, and says why.
func TestAnUnsupportedPodWaits(t *testing.T) {
	c := start(t)
	c.bind("two", func(p *corev1.Pod) { p.Spec.Containers[0].EnvFrom = make([]corev1.EnvFromSource, 1) })
	status := c.await("two", func(s corev1.PodStatus) bool {
		w := s.ContainerStatuses[0].State.Waiting
		return w != nil && w.Reason == "CreateContainerConfigError"
	})
	if m := status.ContainerStatuses[0].State.Waiting.Message; !strings.Contains(m, "envFrom") {
		t.Errorf("the pod waits for %q", m)
	}
	if p, err := c.agent.Process("two"); err == nil {
		t.Errorf("process %d runs", p.PID())
	}
}

// A process that is alive and does not answer is not Ready, until it does.
func TestReadinessFollowsTheProbe(t *testing.T) {
	c := start(t)
	c.bind("p")
	c.await("p", ready)
	p := c.process("p")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	frozen := c.await("p", func(s corev1.PodStatus) bool { return !ready(s) })
	if frozen.ContainerStatuses[0].State.Running == nil {
		t.Errorf("a frozen process shows %+v", frozen.ContainerStatuses[0].State)
	}
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := c.await("p", ready); s.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("it was started again %d times", s.ContainerStatuses[0].RestartCount)
	}
}
