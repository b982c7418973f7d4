package controlplane

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// timeout is how long a test waits for what comes in a second on an idle machine.
const timeout = time.Minute

// running starts a control plane that ends with the test.
func running(t *testing.T, o Options) (*ControlPlane, kubernetes.Interface) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	o.Log, o.LogDir = t.Output(), t.ArtifactDir()
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return c, client
}

// eventually waits until check is true.
func eventually(t *testing.T, what string, check func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, timeout, true, check); err != nil {
		t.Fatalf("wait until %s: %v", what, err)
	}
}

func TestControlPlane(t *testing.T) {
	c, client := running(t, Options{Args: map[Component][]string{
		APIServer: {"--service-cluster-ip-range=10.97.0.0/16"},
	}})
	t.Run("takes more arguments", func(t *testing.T) { testArgs(t, client) })
	t.Run("binds the pods of a Deployment", func(t *testing.T) { testBinds(t, client) })
	t.Run("does what RBAC allows and no more", func(t *testing.T) { testRBAC(t, c, client) })
	t.Run("tells its version", func(t *testing.T) { testVersion(t, c) })
	t.Run("reports what kubectl complains of", func(t *testing.T) { testKubectlError(t, c) })
	t.Run("survives a killed API server", func(t *testing.T) { testKillAPIServer(t, c, client) })
	t.Run("survives a killed etcd", func(t *testing.T) { testKillEtcd(t, c, client) })
	t.Run("answers nothing while frozen", func(t *testing.T) { testFreeze(t, c, client) })
	t.Run("leaves nothing when stopped", func(t *testing.T) { testStop(t, c) })
}

func testArgs(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	var got string
	eventually(t, "the API server has its Service", func(ctx context.Context) (bool, error) {
		service, err := client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		if err == nil {
			got = service.Spec.ClusterIP
		}
		return err == nil, nil
	})
	if want := "10.97.0.1"; got != want {
		t.Errorf("the first Service has address %s, want %s", got, want)
	}
}

// testBinds shows that the controllers make the pod and the scheduler binds it.
func testBinds(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "played"}}
	node, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What a kubelet does: without it the Node is tainted.
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}}
	node.Status.Allocatable = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("10")}
	node.Status.Capacity = node.Status.Allocatable
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "played"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "played"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
	}
	if _, err := client.AppsV1().Deployments("default").Create(t.Context(), deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod is bound", func(ctx context.Context) (bool, error) {
		pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=played"})
		return err == nil && len(pods.Items) == 1 && pods.Items[0].Spec.NodeName == "played", err
	})
}

func testRBAC(t *testing.T, c *ControlPlane, client kubernetes.Interface) {
	t.Helper()
	for _, name := range []string{"bound", "unbound"} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Kubectl(t.Context(), "create", "clusterrolebinding", "bound", "--clusterrole=view", "--serviceaccount=default:bound"); err != nil {
		t.Fatal(err)
	}
	bound, unbound := clientFor(t, c, "bound"), clientFor(t, c, "unbound")
	eventually(t, "the bound account may list pods", func(ctx context.Context) (bool, error) {
		_, err := bound.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(err) {
			return false, nil // the API server has yet to see the binding
		}
		return err == nil, err
	})
	if _, err := unbound.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("an unbound account lists pods: %v, want forbidden", err)
	}
	if err := bound.CoreV1().Pods("default").Delete(t.Context(), "any", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("an account that may view deletes a pod: %v, want forbidden", err)
	}
}

// clientFor acts as a service account of the namespace default.
func clientFor(t *testing.T, c *ControlPlane, account string) kubernetes.Interface {
	t.Helper()
	path, err := c.KubeconfigFor(t.Context(), "default", account)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func testVersion(t *testing.T, c *ControlPlane) {
	t.Helper()
	out, err := c.Kubectl(t.Context(), "version")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "Version: v"+Version()+"\n"); n != 2 {
		t.Errorf("client and server version: %q, want v%s twice", out, Version())
	}
}

func testKubectlError(t *testing.T, c *ControlPlane) {
	t.Helper()
	_, err := c.Kubectl(t.Context(), "get", "node", "nobody")
	if err == nil || !strings.Contains(err.Error(), `nodes "nobody" not found`) {
		t.Errorf("kubectl get of a Node that is not there: %v", err)
	}
}

func testKillAPIServer(t *testing.T, c *ControlPlane, client kubernetes.Interface) {
	t.Helper()
	before := c.PID(APIServer)
	if err := c.Kill(APIServer); err != nil {
		t.Fatal(err)
	}
	if alive(before) || c.PID(APIServer) != 0 {
		t.Fatalf("process %d of a killed API server is still running", before)
	}
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "played", metav1.GetOptions{}); err == nil {
		t.Error("a killed API server answers")
	}
	restart(t, c, APIServer)
	if after := c.PID(APIServer); after == 0 || after == before {
		t.Errorf("process of the restarted API server: %d, before %d", after, before)
	}
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "played", metav1.GetOptions{}); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	testControllersWork(t, client, "after-apiserver")
}

func testKillEtcd(t *testing.T, c *ControlPlane, client kubernetes.Interface) {
	t.Helper()
	if err := c.Kill(Etcd); err != nil {
		t.Fatal(err)
	}
	restart(t, c, Etcd)
	eventually(t, "the API serves again", func(ctx context.Context) (bool, error) {
		return c.apiServes(ctx) == nil, nil
	})
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "played", metav1.GetOptions{}); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	testControllersWork(t, client, "after-etcd")
}

func restart(t *testing.T, c *ControlPlane, component Component) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := c.Restart(ctx, component); err != nil {
		t.Fatal(err)
	}
}

// testControllersWork shows that the controller manager found its way back.
func testControllersWork(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace has its service account", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil
	})
}

func testFreeze(t *testing.T, c *ControlPlane, client kubernetes.Interface) {
	t.Helper()
	if err := c.Freeze(APIServer); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := client.CoreV1().Nodes().Get(ctx, "played", metav1.GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen API server: %v, want no answer", err)
	}
	if err := c.Thaw(APIServer); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API serves again", func(ctx context.Context) (bool, error) {
		return c.apiServes(ctx) == nil, nil
	})
}

func testStop(t *testing.T, c *ControlPlane) {
	t.Helper()
	var pids []int
	for _, component := range components {
		pid := c.PID(component)
		if pid == 0 || !alive(pid) {
			t.Errorf("%s does not run", component)
		}
		pids = append(pids, pid)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for i, pid := range pids {
		if alive(pid) {
			t.Errorf("%s is still running as process %d", components[i], pid)
		}
	}
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("folder %s is still there (%v)", c.dir, err)
	}
	if _, err := os.Stat(c.logFile(APIServer)); err != nil {
		t.Errorf("a log in a folder that was asked for is gone: %v", err)
	}
	if err := c.Kill(Etcd); !errors.Is(err, ErrStopped) {
		t.Errorf("Kill after Stop: %v, want %v", err, ErrStopped)
	}
	if err := c.Restart(t.Context(), Etcd); !errors.Is(err, ErrStopped) {
		t.Errorf("Restart after Stop: %v, want %v", err, ErrStopped)
	}
}

// alive reports whether a process is there, a zombie included.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
