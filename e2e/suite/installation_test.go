package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// page is docs/installation.md, whose blocks the tests run.
func page(w *world.World) string {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "installation.md"))
	w.Must(err)
	return string(text)
}

// block gives the first block of the page that has a text in it.
func block(w *world.World, language, with string) string {
	w.Helper()
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page(w), -1) {
		if strings.Contains(found[1], with) {
			return found[1]
		}
	}
	w.Fatalf("docs/installation.md has no block with %q", with)
	return ""
}

// helm is Helm with a chart of ours and the test's control plane.
type helm struct {
	*world.World
	program string
}

func newHelm(w *world.World) helm {
	w.Helper()
	program, err := controlplane.BuildHelm(w.Context(), os.Stderr)
	w.Must(err)
	return helm{World: w, program: program}
}

// try runs Helm in the product's folder. A warning is an error, Helm's own and the API
// server's.
func (h helm) try(args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(h.Context(), h.program, args...)
	cmd.Dir = harness.Root()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.Dir, "KUBECONFIG=" + cluster.Plane.Kubeconfig()}
	cmd.Stdout, cmd.Stderr = &out, &said
	switch err := cmd.Run(); {
	case err != nil:
		return out.String(), fmt.Errorf("helm %s: %w: %s", args[0], err, said.String())
	case strings.Contains(strings.ToLower(said.String()), "warn"):
		return out.String(), fmt.Errorf("helm %s: %s", args[0], said.String())
	}
	return out.String(), nil
}

func (h helm) run(args ...string) string {
	h.Helper()
	out, err := h.try(args...)
	h.Must(err)
	return out
}

// release is the chart in a namespace and by a name of its own.
type release struct {
	helm
	name string
}

// withRelease makes the namespace of a release, and a Node that can run its replicas.
func withRelease(w *world.World) release {
	w.Helper()
	r := release{helm: newHelm(w), name: "chart-" + w.Env}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.name, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
	}}}
	_, err := cluster.Client.CoreV1().Namespaces().Create(w.Context(), namespace, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() {
		ctx := context.Background()
		if w.Failed() { // it may be installed yet
			_ = exec.CommandContext(ctx, r.program, "--kubeconfig", cluster.Plane.Kubeconfig(), "uninstall", r.name, "-n", r.name).Run()
		}
		w.Must(cluster.Client.CoreV1().Namespaces().Delete(ctx, r.name, metav1.DeleteOptions{}))
	})
	startMachine(w, r.name, r.name)
	return r
}

// values writes values of the release, with a note on its pods.
func (r release) values(note string) string {
	r.Helper()
	return r.File(note+".yaml", fmt.Sprintf(`
image: registry.example.com/module-controller:v1
name: %s
settings: {MQTT_BROKER: broker.example.com, ENV: %s}
environmentNamespaces: [%s]
metricsReaders: [{namespace: monitoring, serviceAccount: prometheus}]
podAnnotations: {note: %s}
`, r.name, r.Env, r.Env, note))
}

// command runs commands of the page, with the release's name for the manifests'.
func (r release) command(with, values string) {
	r.Helper()
	for line := range strings.Lines(block(r.World, "sh", with)) {
		fields := strings.Fields(strings.ReplaceAll(line, "my-values.yaml", values))
		for n, f := range fields {
			if f == harness.Namespace || f == "module-controller" {
				fields[n] = r.name
			}
		}
		switch program, args := fields[0], fields[1:]; program {
		case "helm":
			r.run(args...)
		case "kubectl":
			r.Kubectl(args...)
		default:
			r.Fatalf("the page runs %s", program)
		}
	}
}

// awaitReplicas waits until the release's replicas are so many, ready, and with a note.
func (r release) awaitReplicas(want int32, note string) {
	r.Helper()
	r.Eventually(world.Timeout, func() error {
		set, err := cluster.Client.AppsV1().StatefulSets(r.name).Get(r.Context(), r.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s := set.Status
		if *set.Spec.Replicas != want {
			return harness.Final(fmt.Errorf("%d replicas are asked for, want %d", *set.Spec.Replicas, want))
		}
		if set.Spec.Template.Annotations["note"] != note || s.ObservedGeneration != set.Generation || s.ReadyReplicas != want || s.UpdatedReplicas != want || s.CurrentRevision != s.UpdateRevision {
			return fmt.Errorf("note %s, status %+v", set.Spec.Template.Annotations["note"], s)
		}
		return nil
	})
}

// The chart is installed, upgraded, rolled back and uninstalled by the commands of the
// page. No Node and no module notices, and the number of replicas stays the operator's.
func TestTheChart(t *testing.T) {
	t.Parallel()
	const bases = 6
	w := cluster.New(t).WithBroker().WithService()
	w.WithFleet(bases)
	r := withRelease(w)
	first, second := r.values("first"), r.values("second")
	r.run("lint", "--strict", "manifests/chart", "-f", first)

	r.command("helm install", first)
	r.awaitReplicas(2, "first")
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
	w.AwaitPodsReady("app=stock", bases)
	installed, ready := w.Counts().Installs, world.ReadySince(w.Pods("app=stock"))
	noticed := w.WatchNodes()

	r.command("--replicas 3", "")
	r.awaitReplicas(3, "first")
	r.command("helm upgrade", second)
	r.awaitReplicas(3, "second")
	r.command("helm rollback", "")
	r.awaitReplicas(3, "first")
	if bad := noticed(); len(bad) > 0 {
		t.Errorf("Nodes: %v", bad)
	}
	w.CheckReadySince(ready, "app=stock")
	_, err := cluster.Client.RbacV1().RoleBindings(w.Env).Get(t.Context(), r.name+"-environment", metav1.GetOptions{})
	w.Must(err)

	r.command("helm uninstall", "")
	if left := r.run("list", "-n", r.name, "-q"); left != "" {
		t.Errorf("Helm still lists %s", left)
	}
	leases, err := w.BaseLeases().List(t.Context(), w.OfEnv())
	w.Must(err)
	if nodes := len(w.Nodes()); nodes != bases || len(leases.Items) != bases {
		t.Errorf("%d VNodes and %d Leases are left of %d", nodes, len(leases.Items), bases)
	}
	if c := w.Counts(); c.Installs != installed || c.Uninstalls != 0 {
		t.Errorf("modules were touched: %+v", c)
	}
	w.CheckReadySince(ready, "app=stock")
}

// What is known to be wrong is refused before anything is applied, with what to do.
func TestTheChartRefusesBadValues(t *testing.T) {
	t.Parallel()
	h := newHelm(cluster.New(t))
	good := []string{"image=registry.example.com/module-controller:v1", "settings.MQTT_BROKER=broker.example.com"}
	render := func(sets ...string) error {
		args := []string{"template", "module-controller", "manifests/chart"}
		for _, s := range append(slices.Clip(good), sets...) {
			args = append(args, "--set", s)
		}
		_, err := h.try(args...)
		return err
	}
	for _, sets := range [][]string{
		{}, {"replicas=3"}, {"settings.STALE_AFTER=20s"}, {"settings.MQTT_PORT=1883"}, {"settings.ENABLE_HTTP_TUNNEL=true"},
		{"settings.MAX_BASES=20000000"}, {"resources.limits.memory=2Gi"}, {"networkPolicy.enabled=false"},
		{"settings.ENABLE_MQTT_TUNNEL=false", "settings.MQTT_BROKER="},
		{"mqttSecret=", "settings.MQTT_CA_PATH=null", "settings.MQTT_PASSWORD_FILE=null"},
		{"podMonitor.enabled=true", "alerts.enabled=true", "dashboard.enabled=true", "admissionPolicies.reserveVNodes=true"},
	} {
		if err := render(sets...); err != nil {
			t.Errorf("%v: %v", sets, err)
		}
	}
	for set, want := range map[string]string{
		"image=":                                "at '/image'",
		"image=module-controller":               "at '/image'",
		"imag=x:y":                              "'imag' not allowed",
		"replicas=0":                            "at '/replicas'",
		"replicas=two":                          "at '/replicas'",
		"name=Module_Controller":                "at '/name'",
		"settings.MQTT_BROKER=":                 "settings.MQTT_BROKER: name your broker",
		"settings.MQTT_BROKER=tcp://broker:1":   "at '/settings/MQTT_BROKER'",
		"settings.ENV=Production":               "at '/settings/ENV'",
		"settings.mqttPort=1":                   "propertyName 'mqttPort'",
		"settings.POD_NAME=x":                   "propertyName 'POD_NAME'",
		"settings.ENABLE_HTTP_TUNNEL=yes":       "at '/settings/ENABLE_HTTP_TUNNEL'",
		"mqttSecret=":                           "settings.MQTT_CA_PATH is a file of mqttSecret",
		"resources.limits.memory=512M":          "at '/resources/limits/memory'",
		"terminationGracePeriodSeconds=20":      "at '/terminationGracePeriodSeconds'",
		"environmentNamespaces=orders":          "at '/environmentNamespaces'",
		"peerNamespaces=orders":                 "at '/peerNamespaces'",
		"metricsReaders[0].namespace=x":         "'serviceAccount'",
		"admissionPolicies.reserveVnodes=true":  "'reserveVnodes' not allowed",
		"admissionPolicies.writers[0]=a' || 'b": "at '/admissionPolicies/writers/0'",
		"podMonitor.interval=15":                "at '/podMonitor/interval'",
	} {
		if err := render(set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name %s", set, err, want)
		}
	}
}

// Where peer Deployments are on, Deployments may be scaled in all namespaces, or only in those
// that are named; where they are off, in none.
func TestWherePeersMayBeScaled(t *testing.T) {
	t.Parallel()
	w := cluster.New(t)
	h, name := newHelm(w), "peers-"+w.Env
	render := func(args ...string) string {
		return h.run(append([]string{"template", name, "manifests/chart", "-n", w.Env, "-f", "manifests/chart/kustomize.yaml", "--set", "name=" + name}, args...)...)
	}
	if strings.Contains(render(), "deployments/scale") {
		t.Error("it is granted where they are off")
	}
	may := func(namespace string) (bool, error) {
		review, err := cluster.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + w.Env + ":" + name,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: "apps", Resource: "deployments", Subresource: "scale", Verb: "update", Namespace: namespace},
		}}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return review.Status.Allowed, nil
	}
	w.Cleanup(func() { // of the namespaces' part the World's namespace
		_, err := cluster.Plane.Kubectl(context.Background(), "delete", "--ignore-not-found", "clusterrole,clusterrolebinding", name+"-peer-deployments")
		w.Must(err)
	})
	for _, c := range []struct {
		namespaces string
		elsewhere  bool
	}{{`[]`, true}, {`["` + w.Env + `"]`, false}} {
		w.Kubectl("apply", "-f", w.File("peers.yaml", render("--show-only", "templates/peer-deployments/rbac.yaml",
			"--set-string", "settings.ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE=true", "--set-json", "peerNamespaces="+c.namespaces)))
		w.Eventually(world.Timeout, func() error {
			here, err := may(w.Env)
			if err != nil {
				return err
			}
			elsewhere, err := may("default")
			if err != nil {
				return err
			}
			if !here || elsewhere != c.elsewhere {
				return fmt.Errorf("with peerNamespaces=%s it may scale here: %v, elsewhere: %v", c.namespaces, here, elsewhere)
			}
			return nil
		})
	}
}

// operator is the Prometheus operator, for its resource definitions.
const operator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

// withOperatorKinds has the API server know PodMonitors and PrometheusRules.
func withOperatorKinds(w *world.World) {
	w.Helper()
	out, err := exec.CommandContext(w.Context(), "go", "mod", "download", "-json", operator).Output()
	w.Must(err)
	var fetched struct{ Dir string }
	w.Must(json.Unmarshal(out, &fetched))
	for _, kind := range []string{"podmonitors", "prometheusrules"} {
		file := filepath.Join(fetched.Dir, "example", "prometheus-operator-crd", "monitoring.coreos.com_"+kind+".yaml")
		w.Kubectl("create", "-f", file)
		w.Cleanup(func() {
			_, err := cluster.Plane.Kubectl(context.Background(), "delete", "-f", file)
			w.Must(err)
		})
		w.Kubectl("wait", "--for=condition=Established", "-f", file, "--timeout=60s")
	}
}

// overlay writes the page's overlay, and gives its folder.
func overlay(w *world.World) string {
	w.Helper()
	dir := filepath.Join(w.Dir, "overlay")
	w.Must(os.MkdirAll(dir, 0o755))
	root, err := filepath.Rel(dir, harness.Root()) // no path may be absolute
	w.Must(err)
	text := strings.ReplaceAll(block(w, "yaml", "kind: Kustomization"), "- module-controller/manifests", "- "+root+"/manifests")
	w.Must(os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
	return dir
}

// The API server takes every manifest, and all that the chart can render, without a
// warning and with no field that it does not know.
func TestTheManifestsAreAppliedWithoutAWarning(t *testing.T) {
	w := cluster.New(t)
	withOperatorKinds(w)
	apply := func(what ...string) {
		t.Helper()
		w.Kubectl(append([]string{"apply", "--dry-run=server", "--warnings-as-errors", "--validate=strict"}, what...)...)
	}
	for _, folder := range []string{"", "reserve-vnodes", "peer-deployments", "pod-monitor", "alerts", "dashboard"} {
		apply("-k", harness.Manifest(folder))
	}
	apply("-k", overlay(w))
	apply("-n", w.Env, "-k", harness.Manifest("namespace-access"))
	apply("-n", w.Env, "-f", harness.Manifest("samples"))
	all := w.File("all.yaml", newHelm(w).run("template", harness.Namespace, "manifests/chart", "-n", harness.Namespace,
		"-f", "manifests/chart/kustomize.yaml", "--set", "replicas=3,environmentNamespaces={default},peerNamespaces={default},volumes[0].name=x,volumes[0].emptyDir.medium=Memory,volumeMounts[0].name=x,volumeMounts[0].mountPath=/x",
		"--set-string", "settings.ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE=true",
		"--set", "metricsReaders[0].namespace=default,metricsReaders[0].serviceAccount=default,imagePullSecrets={x},tolerations[0].operator=Exists,nodeSelector.a=b,podAnnotations.a=b,admissionPolicies.writers={a,b}"))
	apply("-f", all)
}

// deleteSet deletes in the end what of the manifests no other test expects.
func deleteSet(w *world.World) {
	w.Helper()
	w.Cleanup(func() {
		_, err := cluster.Plane.Kubectl(context.Background(), "-n", harness.Namespace, "delete", "--cascade=foreground",
			set, "service/module-controller", "service/module-controller-metrics")
		w.Must(err)
	})
}

// Applying the manifests again leaves the replicas as many as they are, also after an
// older version whose manifests said how many.
func TestApplyingAgainKeepsTheReplicas(t *testing.T) {
	w := cluster.New(t)
	sets := cluster.Client.AppsV1().StatefulSets(harness.Namespace)
	replicas := func() int32 {
		t.Helper()
		s, err := sets.Get(t.Context(), harness.Namespace, metav1.GetOptions{})
		w.Must(err)
		return *s.Spec.Replicas
	}
	deleteSet(w)
	old, err := cluster.Plane.Kubectl(t.Context(), "kustomize", harness.Manifest(""))
	w.Must(err)
	old = strings.Replace(old, "  podManagementPolicy:", "  replicas: 2\n  podManagementPolicy:", 1)
	w.Kubectl("apply", "-f", w.File("old.yaml", old))
	w.Kubectl("scale", set, "-n", harness.Namespace, "--replicas=4")
	command := strings.TrimPrefix(strings.TrimSpace(block(w, "sh", "kubectl annotate")), "kubectl ")
	w.Kubectl(strings.Fields(command)...)
	for _, want := range []int32{4, 3} {
		w.Kubectl("scale", set, "-n", harness.Namespace, fmt.Sprint("--replicas=", want))
		w.Kubectl("apply", "-k", harness.Manifest(""))
		if got := replicas(); got != want {
			t.Errorf("%d replicas after the manifests were applied, want %d", got, want)
		}
	}
}

// Helm takes over what kustomize has applied, and leaves the replicas as many as they are.
func TestHelmTakesOverWhatKustomizeApplied(t *testing.T) {
	w := cluster.New(t)
	h := newHelm(w)
	w.Kubectl("apply", "-k", harness.Manifest(""))
	deleteSet(w)
	w.Kubectl("scale", set, "-n", harness.Namespace, "--replicas=3")
	before, err := cluster.Client.AppsV1().StatefulSets(harness.Namespace).Get(t.Context(), harness.Namespace, metav1.GetOptions{})
	w.Must(err)
	h.run("install", harness.Namespace, "manifests/chart", "-n", harness.Namespace, "--take-ownership", "--force-conflicts",
		"--set", "image=registry.example.com/module-controller:v1,settings.MQTT_BROKER=broker.example.com")
	w.Cleanup(func() { // the objects stay, which all tests need; what goes is Helm's record
		_, err := cluster.Plane.Kubectl(context.Background(), "-n", harness.Namespace, "delete", "secret", "-l", "owner=helm")
		w.Must(err)
	})
	after, err := cluster.Client.AppsV1().StatefulSets(harness.Namespace).Get(t.Context(), harness.Namespace, metav1.GetOptions{})
	w.Must(err)
	if after.UID != before.UID || *after.Spec.Replicas != 3 || after.Spec.Template.Spec.Containers[0].Image != "registry.example.com/module-controller:v1" {
		t.Errorf("the StatefulSet is %s with %d replicas, it was %s; its spec is %+v", after.UID, *after.Spec.Replicas, before.UID, after.Spec.Template.Spec)
	}
}

// Each sample becomes Ready on bases of its name, and those that are updated get the next
// version.
func TestTheSamples(t *testing.T) {
	t.Parallel()
	const bases = 3
	w := cluster.New(t).WithBroker().WithFleet(bases, "--name", "my-application").WithController()
	w.AwaitNodesReady(bases)
	sample := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(harness.Manifest("samples/" + name))
		w.Must(err)
		return strings.ReplaceAll(string(text), "value: default, effect", "value: "+w.Env+", effect")
	}
	for name, s := range map[string]struct {
		app  string
		pods int
	}{
		"deployment.yaml":      {"orders", 2},
		"rolling.yaml":         {"rolling", 2},
		"recreate.yaml":        {"recreate", 1},
		"daemonset.yaml":       {"everywhere", bases},
		"several-modules.yaml": {"shop", 1},
		"canary.yaml":          {"payments", 3},
	} {
		text := sample(name)
		w.Kubectl("apply", "-n", w.Env, "--warnings-as-errors", "-f", w.File(name, text))
		w.AwaitPodsReady("app="+s.app, s.pods)
		next := w.File("next-"+name, strings.ReplaceAll(text, "1.0.0", "1.2.0"))
		w.Kubectl("apply", "-n", w.Env, "--warnings-as-errors", "-f", next)
		w.Eventually(world.Timeout, func() error {
			for _, p := range w.Pods("app=" + s.app) {
				if c := p.Spec.Containers[0]; !world.PodReady(p) || strings.Contains(c.Image, "1.0.0") {
					return fmt.Errorf("pod %s has %s: %s", p.Name, c.Image, world.Waiting(p))
				}
			}
			return nil
		})
		w.AwaitPodsReady("app="+s.app, s.pods)
		w.Kubectl("delete", "-n", w.Env, "-f", next, "--wait=false")
		w.AwaitPodsReady("app="+s.app, 0)
	}
}
