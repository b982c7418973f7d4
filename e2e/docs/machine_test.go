package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"module-controller/e2e/agent"
	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

const (
	// startTimeout bounds the start of a machine; most of it is for building what no cache
	// has.
	startTimeout = 30 * time.Minute
	// blockTimeout bounds one block of commands, the first build of the product among them.
	blockTimeout = 10 * time.Minute
	// timeout bounds each wait.
	timeout = 90 * time.Second

	bases = 3
	// machines are the Nodes that run replicas: machine-1, machine-2.
	machines = 2
)

// machine is what a reader of the pages has: a checkout, programs, and an empty cluster with
// a broker.
type machine struct {
	*testing.T
	checkout string // the folder in which commands run
	programs string // the folder of stand-ins, and of what the pages install
	env      []string
	plane    *controlplane.ControlPlane
	client   kubernetes.Interface
	broker   *broker
	fleet    *harness.Sim
	files    string // the folder of everything else
	sim      string // the path of basesim
}

// newMachine starts one; settings are more environment of the replicas.
func newMachine(t *testing.T, settings map[string]string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "module-controller-docs-") //nolint:usetesting // it stays where the test failed
	m := &machine{T: t, checkout: filepath.Join(dir, "module-controller"), programs: filepath.Join(dir, "bin"), files: filepath.Join(dir, "files")}
	m.must(err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("logs are in", dir)
			return
		}
		m.must(os.RemoveAll(dir))
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	m.must(errors.Join(os.MkdirAll(m.programs, 0o755), os.MkdirAll(m.files, 0o755)))
	m.must(copyCheckout(ctx, m.checkout))
	m.sim, err = harness.BuildOne(ctx, m.files, "basesim", os.Stderr)
	m.must(err)
	m.plane, err = controlplane.Start(ctx, controlplane.Options{Log: os.Stderr})
	m.must(err)
	t.Cleanup(func() { m.must(m.plane.Stop()) })
	m.client, err = kubernetes.NewForConfig(m.plane.Config())
	m.must(err)
	m.setUpPrograms(ctx)
	m.broker = startBroker(ctx, m)
	for n := range machines {
		m.startNode(ctx, fmt.Sprint("machine-", n+1), settings)
	}
	return m
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// until waits until check gives no error.
func (m *machine) until(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), timeout, fmt.Errorf("%s were over", timeout))
	defer cancel()
	if err := harness.Until(ctx, check); err != nil {
		t.Fatal(err)
	}
}

// copyCheckout copies the working tree, without what git ignores.
func copyCheckout(ctx context.Context, to string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = harness.Root()
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the files of the checkout: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(harness.Root(), name), filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted, and not committed
			return fmt.Errorf("copy the checkout: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, text, info.Mode())
	}
	return err
}

// setUpPrograms makes the reader's environment: kubectl, which reaches the cluster, and the
// stand-ins before it. Nothing of the user's own configuration counts, but for
// Go's and its cache.
func (m *machine) setUpPrograms(ctx context.Context) {
	m.Helper()
	cache, err := os.UserCacheDir()
	m.must(err)
	goenv, err := exec.CommandContext(ctx, "go", "env", "GOENV", "GOMODCACHE", "GOPATH").Output()
	m.must(err)
	paths := strings.Split(strings.TrimSpace(string(goenv)), "\n")
	mk, err := exec.LookPath("make")
	m.must(err)
	m.must(writeStandIns(m.programs, map[string]string{"make": mk, "kubectl": filepath.Join(m.plane.BinDir(), "kubectl")}))
	m.env = []string{
		"PATH=" + m.programs + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"HOME=" + m.files, "XDG_CACHE_HOME=" + cache, "GOENV=" + paths[0], "GOMODCACHE=" + paths[1], "GOPATH=" + paths[2],
		"KUBECONFIG=" + m.plane.Kubeconfig(), "KUBERC=off", "KUBECACHEDIR=" + filepath.Join(m.files, "kubectl"),
		"CGO_ENABLED=0", // as where there is no C compiler, and as the image's program
	}
}

// withHelm gives the reader Helm.
func (m *machine) withHelm() {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), startTimeout)
	defer cancel()
	helm, err := controlplane.BuildHelm(ctx, os.Stderr)
	m.must(err)
	m.must(os.Symlink(helm, filepath.Join(m.programs, "helm")))
}

// startNode starts a Node that runs the StatefulSet's pods as processes.
func (m *machine) startNode(ctx context.Context, name string, settings map[string]string) {
	m.Helper()
	dir := filepath.Join(m.files, name)
	m.must(os.MkdirAll(dir, 0o755))
	running := context.WithoutCancel(ctx) // pods start as long as the Node runs
	a, err := agent.Start(ctx, agent.Options{
		Client: m.client, Config: m.plane.Config(), NodeName: name, Binary: filepath.Join(m.checkout, "bin", "module-controller"), Dir: dir,
		Ports: harness.PodPorts,
		Env: func(pod *corev1.Pod) map[string]string {
			env, err := m.settings(running, pod)
			if err != nil {
				m.Error(err)
			}
			maps.Copy(env, settings)
			return env
		},
	})
	m.must(err)
	m.Cleanup(func() {
		m.must(a.Stop())
		for n := range 3 {
			lines, err := harness.ErrorLines(a.Log(fmt.Sprint(harness.Namespace, "-", n)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) || len(lines) > 0 {
				m.Errorf("errors in the log of replica %d (%v): %v", n, err, lines)
			}
		}
	})
}

// settings gives a replica what a cluster would: the way to the broker by its name, and the
// files of Secrets.
func (m *machine) settings(ctx context.Context, pod *corev1.Pod) (map[string]string, error) {
	env := map[string]string{}
	for _, v := range pod.Spec.Containers[0].Env {
		if v.Name == "MQTT_BROKER" && v.Value != brokerName {
			return env, fmt.Errorf("pod %s asks for the broker %q, want %s", pod.Name, v.Value, brokerName)
		}
		file, err := m.mounted(ctx, pod, v.Value)
		if err != nil {
			return env, err
		}
		if file != "" {
			env[v.Name] = file
		}
	}
	env["MQTT_BROKER"], env["MQTT_PORT"] = m.broker.host, m.broker.port
	return env, nil
}

// mounted gives the path of a file that a pod has from a Secret, which it writes. It is
// empty for what is no such file.
func (m *machine) mounted(ctx context.Context, pod *corev1.Pod, path string) (string, error) {
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		key, within := strings.CutPrefix(path, mount.MountPath+"/")
		if !within {
			continue
		}
		for _, volume := range pod.Spec.Volumes {
			if volume.Name != mount.Name || volume.Secret == nil {
				continue
			}
			secret, err := m.client.CoreV1().Secrets(pod.Namespace).Get(ctx, volume.Secret.SecretName, metav1.GetOptions{})
			if err != nil {
				return "", fmt.Errorf("mount into pod %s: %w", pod.Name, err)
			}
			file := filepath.Join(m.files, pod.Name+"-"+key)
			return file, os.WriteFile(file, secret.Data[key], 0o600)
		}
	}
	return "", nil
}

// startBases starts bases of an application in the environment default.
func (m *machine) startBases(ctx context.Context, name string) {
	m.Helper()
	var err error
	m.fleet, err = harness.StartSim(ctx, m.sim, filepath.Join(m.files, "fleet.log"),
		"--bases", fmt.Sprint(bases), "--env", "default", "--name", name, "--heartbeat", "1s", "--mqtt", m.broker.behind)
	m.must(err)
	m.Cleanup(func() { m.must(m.fleet.Kill()) })
}

// awaitBases waits until each base has a Node that is Ready.
func (m *machine) awaitBases(t *testing.T) {
	t.Helper()
	m.until(t, func() error {
		nodes, err := m.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/component=vnode"})
		if err != nil {
			return err
		}
		ready := 0
		for _, n := range nodes.Items {
			for _, c := range n.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready != bases {
			return fmt.Errorf("%d VNodes are Ready, want %d", ready, bases)
		}
		return nil
	})
}

// bash runs commands in the checkout and gives what they print.
func (m *machine) bash(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, blockTimeout, fmt.Errorf("%s were over", blockTimeout))
	defer cancel()
	var out bytes.Buffer
	cmd := exec.Command("bash", "-E", "-euo", "pipefail", "-c", `trap 'echo "exit code $? of: $BASH_COMMAND"' ERR`+"\n"+text)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = m.checkout, m.env, &out, &out
	err := process.Run(ctx, cmd)
	if err == nil && strings.Contains(out.String(), "No resources found") {
		err = errors.New("it selects what there is not")
	}
	return out.String(), err
}

// run runs a block of commands of a page; each must exit with 0, and print what the page
// shows.
func (m *machine) run(t *testing.T, c chapter, b block) {
	t.Helper()
	text, err := bind(m.here(b.text), m.placeholders(t.Context()))
	if err != nil {
		t.Fatalf("%s:%d: %v", c.page(), b.line, err)
	}
	began := time.Now()
	printed, err := m.bash(t.Context(), text)
	t.Logf("%s:%d, %s:\n%s\n%s", c.page(), b.line, time.Since(began).Round(100*time.Millisecond), text, printed)
	if err != nil {
		t.Fatalf("%s:%d: %v", c.page(), b.line, err)
	}
	if line := missing(b.shows, printed); line != "" {
		t.Errorf("%s:%d does not print what the page shows: %s", c.page(), b.line, line)
	}
}

// here puts the machine's own folders in the place of those that the pages write to and
// read from beside the checkout.
func (m *machine) here(text string) string {
	return strings.NewReplacer(
		"/usr/local/bin", m.programs,
		"/etc/module-controller/mqtt", m.checkout, // where the Secret's files are before it is made
		"- module-controller/manifests", "- ../manifests",
	).Replace(text)
}

// placeholders says what the pages' placeholders are bound to.
func (m *machine) placeholders(ctx context.Context) map[string]func() (string, error) {
	is := func(name string) func() (string, error) { return func() (string, error) { return name, nil } }
	return map[string]func() (string, error){
		"BASE": is("base-0001"), "NODE": is("vnode.base-0001.default"), "MACHINE": is("machine-1"),
		"NAMESPACE": is("default"), "DEPLOYMENT": is("orders"), "MEMBER": is(harness.Namespace + "-1"),
		"POD": func() (string, error) { return m.pod(ctx) },
	}
}

// pod gives the name of a pod of the Deployment orders.
func (m *machine) pod(ctx context.Context) (string, error) {
	pods, err := m.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=orders"})
	if err != nil {
		return "", err
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			return p.Name, nil
		}
	}
	return "", errors.New("the Deployment orders has no pod")
}

// replicasWanted gives how many replicas the StatefulSet is to have; 0 without one.
func (m *machine) replicasWanted(ctx context.Context) (int32, error) {
	set, err := m.client.AppsV1().StatefulSets(harness.Namespace).Get(ctx, harness.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return *set.Spec.Replicas, nil
}
