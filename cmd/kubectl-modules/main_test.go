package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/internal/diagnose"
	_ "module-controller/internal/oneproc" // tests in bubbles
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

const prefix = "virtual-kubelet.koupleless.io/"

// cluster is one with a member, a base and a module that serves.
func cluster(now time.Time) []runtime.Object {
	holder, ten, forty, at := "mc-0_00000001", int32(10), int32(40), metav1.NewMicroTime(now)
	node := plan.Node(plan.NodeInput{Now: now, Name: "vnode.base-1.default", ServerVersion: "v1.37.2", Noted: true, Health: &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 54 << 20, CPUs: 4},
		Heartbeat: tunnel.Heartbeat{Base: tunnel.BaseID{Env: "default", Identity: "base-1"}, Tunnel: "mqtt_tunnel_provider", Name: "shop", Version: "1.0.0", IP: "10.0.0.7"}}, nil)
	return []runtime.Object{
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "module-controller", Name: "mc-0", Labels: map[string]string{prefix + "component": "module-controller"},
			Annotations: map[string]string{prefix + "state": "serving", prefix + "tunnels": "up", prefix + "environments": "default", prefix + "version": "v1", prefix + "requests-obeyed-by": holder}},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &ten, RenewTime: &at}},
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: node.Name, Labels: map[string]string{prefix + "installation": "module-controller"}},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &forty, RenewTime: &at}},
		node, module(now, "orders-1", corev1.ConditionTrue),
		&flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "module-controller-leases"}, Spec: flowcontrolv1.FlowSchemaSpec{Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
			Subjects: []flowcontrolv1.Subject{{Kind: "ServiceAccount", ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: "module-controller", Name: "module-controller"}}}}}}},
	}
}

const secret = "s3cret"

func module(now time.Time, name string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "1", Labels: map[string]string{plan.LabelComponent: plan.ComponentModule}, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
			Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": secret}},
		Spec: corev1.PodSpec{NodeName: "vnode.base-1.default", Containers: []corev1.Container{{Name: "orders", Image: "https://user:" + secret + "@repo.example.com/orders.jar?token=" + secret,
			Args: []string{secret}, Command: []string{secret}, Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{secret}}}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: secret}}}}},
			LivenessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{secret}}}},
			Env:            []corev1.EnvVar{{Name: plan.EnvVersion, Value: "1.0.0"}, {Name: "PASSWORD", Value: secret}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

// silent makes a Node show that its base is silent.
func silent(objects []runtime.Object) []runtime.Object {
	for _, o := range objects {
		if n, is := o.(*corev1.Node); is {
			n.Status.Conditions[0].Status, n.Status.Conditions[0].Reason, n.Status.Conditions[0].Message = corev1.ConditionFalse, plan.ReasonBaseSilent, "No message received from the base; polling it"
		}
	}
	return objects
}

func client(objects ...runtime.Object) *fake.Clientset {
	c := fake.NewClientset(objects...)
	c.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		r.Status.Allowed = true
		return true, r, nil
	})
	c.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SelfSubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}, nil
	})
	c.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &apiversion.Info{GitVersion: "v1.37.2"}
	return c
}

// run runs a command, and gives what it prints and its error.
func run(t *testing.T, c kubernetes.Interface, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	o := &options{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}, kube: genericclioptions.NewConfigFlags(false)}
	o.connect = func() (kubernetes.Interface, error) { return c, nil }
	root := o.root()
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// What each command prints of a fleet with which nothing is wrong, and of one whose base is
// silent, and how it ends.
func TestCommands(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		args     string
		wrong    bool // whether it ends with 1 where the base is silent
		has, say []string
	}{
		{"status", true, []string{"mc-0", "serving", "1 of 1 ready", "nothing is wrong"}, []string{"0 of 1 ready", "base is silent", "do:", "doc:"}},
		{"check", true, []string{"✓ each base is heard", "API server", "v1.37.2"}, []string{"✗", "base is silent"}},
		{"check --pre", false, []string{"you may install", "an installation is there already"}, []string{"you may install"}},
		{"why -n team orders-1", true, []string{"Base base-1", "Owner mc-0", "Module orders:1.0.0", "nothing is wrong"}, []string{"base is silent"}},
		{"why base-1", true, []string{"Lease", "nothing is wrong"}, []string{"BaseSilent", "base is silent"}},
		{"why vnode.base-1.default", true, []string{"nothing is wrong"}, []string{"base is silent"}},
		{"why base/base-1", true, []string{"nothing is wrong"}, []string{"base is silent"}},
		{"bases", false, []string{"base-1", "shop", "Ready", "mc-0", "1/1"}, []string{"BaseSilent"}},
		{"bases -o wide", false, []string{"10.0.0.7", "vnode.base-1.default"}, []string{"BaseSilent"}},
		{"bases --wrong", false, []string{"BASE"}, []string{"base-1"}},
		{"base base-1", true, []string{"orders-1", "orders:1.0.0", "true"}, []string{"base is silent"}},
		{"members", false, []string{"mc-0", "up", "v1"}, []string{"mc-0"}},
		{"why --help", false, []string{"POD|BASE", "Flags of all commands"}, nil},
		{"members -o wide", false, []string{"mc-0_00000001", "default"}, []string{"mc-0"}},
		{"top", false, []string{"mc-0", "1 of 1 ready"}, []string{"base is silent"}},
		{"rebalance --dry-run", false, []string{"no base would move"}, []string{"no base would move"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			text, err := run(t, client(cluster(now)...), strings.Fields(c.args)...)
			if err != nil {
				t.Errorf("of a sound fleet it ends with %v", err)
			}
			contains(t, text, c.has)
			text, err = run(t, client(silent(cluster(now))...), strings.Fields(c.args)...)
			if errors.Is(err, errWrong) != c.wrong || err != nil && !c.wrong {
				t.Errorf("with a silent base it ends with %v", err)
			}
			contains(t, text, c.say)
			if strings.Contains(text, "\x1b") {
				t.Error("it has colours where nobody looks")
			}
		})
	}
}

func contains(t *testing.T, text string, words []string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("it has no %q:\n%s", w, text)
		}
	}
}

// The help of a command has its own flags alone.
func TestHelpIsReadable(t *testing.T) {
	text, err := run(t, client(), "why", "--help")
	if err != nil || strings.Contains(text, "--as-group") {
		t.Errorf("with %v it has:\n%s", err, text)
	}
	text, err = run(t, client(), "--help")
	if err != nil || !strings.Contains(text, "--as-group") || !strings.Contains(text, "Find out:") {
		t.Errorf("with %v it has:\n%s", err, text)
	}
}

// What is wrong with how a command is called is an error of its own, not a verdict.
func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range []string{"why", "rebalance", "status -o xml", "status --color pink", "status more", "why pod/none -n team", "base none", "nonsense",
		"drain", "drain none", "drain mc-0", "drain mc-0 --undo --wait", "move base-1", "move base-1 none", "move none mc-0", "move base-1 mc-0 --for 0s", "move base-1 mc-0 --undo", "move base-1 mc-0 --for 9999h"} {
		if text, err := run(t, client(cluster(time.Now())...), strings.Fields(args)...); err == nil || errors.Is(err, errWrong) {
			t.Errorf("%s ends with %v:\n%s", args, err, text)
		}
	}
}

// A base is named by its identity: one of this installation's goes before those of another
// installation, whichever is read first. Where two of ours have it, both are told.
func TestABaseIsNamedByItsIdentity(t *testing.T) {
	leaseOf := func(env, installation string) runtime.Object {
		holder, at := "mc-0_00000001", metav1.NowMicro()
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "vnode.base-1." + env, Labels: map[string]string{prefix + "installation": installation}},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at}}
	}
	others := append(cluster(time.Now()), leaseOf("aaa", "theirs"), leaseOf("zzz", "theirs"))
	if text, err := run(t, client(others...), "base", "base-1"); err != nil || !strings.Contains(text, "shop") {
		t.Errorf("beside another installation's: %v\n%s", err, text)
	}
	_, err := run(t, client(append(others, leaseOf("staging", "module-controller"))...), "base", "base-1")
	if err == nil || !strings.Contains(err.Error(), "vnode.base-1.default or vnode.base-1.staging") {
		t.Errorf("two of ours: %v", err)
	}
}

// JSON and YAML have what scripts match on.
func TestOutputForScripts(t *testing.T) {
	text, err := run(t, client(silent(cluster(time.Now()))...), "why", "base-1", "-o", "json")
	if !errors.Is(err, errWrong) {
		t.Errorf("it ends with %v", err)
	}
	var chain struct {
		Findings []struct{ Rule, Severity, Cause, Remedy, Doc string }
		Links    []diagnose.Link
	}
	if err := json.Unmarshal([]byte(text), &chain); err != nil {
		t.Fatal(err)
	}
	if len(chain.Findings) != 1 || chain.Findings[0].Rule != "base-silent" || chain.Findings[0].Severity != "fault" || len(chain.Links) == 0 {
		t.Errorf("it is %+v", chain)
	}
	for _, args := range []string{"status", "check", "bases", "base base-1", "members", "rebalance --dry-run"} {
		text, err := run(t, client(cluster(time.Now())...), append(strings.Fields(args), "-o", "yaml")...)
		if err != nil || strings.Contains(text, "\t") || text == "" {
			t.Errorf("%s -o yaml ends with %v:\n%s", args, err, text)
		}
		text, err = run(t, client(cluster(time.Now())...), append(strings.Fields(args), "-o", "json")...)
		if err != nil || !json.Valid([]byte(text)) {
			t.Errorf("%s -o json ends with %v:\n%s", args, err, text)
		}
	}
}

// With --wait it is looked again until nothing is wrong, or the time is over.
func TestStatusWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(silent(cluster(time.Now()))...)
		began := time.Now()
		if _, err := run(t, c, "status", "--wait", "--timeout", "9s"); !errors.Is(err, errWrong) || time.Since(began) != 9*time.Second {
			t.Errorf("after %s it ends with %v", time.Since(began), err)
		}
		go func() {
			time.Sleep(5 * time.Second)
			for _, o := range cluster(time.Now()) {
				switch o := o.(type) {
				case *corev1.Node:
					_, _ = c.CoreV1().Nodes().Update(t.Context(), o, metav1.UpdateOptions{})
				case *coordinationv1.Lease:
					_, _ = c.CoordinationV1().Leases(o.Namespace).Update(t.Context(), o, metav1.UpdateOptions{})
				}
			}
		}()
		began = time.Now()
		if text, err := run(t, c, "status", "--wait"); err != nil || time.Since(began) != 6*time.Second {
			t.Errorf("after %s it ends with %v:\n%s", time.Since(began), err, text)
		}
	})
}

// A dump has what there is, and nothing secret of it.
func TestSysdumpLeavesSecretsOut(t *testing.T) {
	objects := append(cluster(time.Now()), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "keys"}, StringData: map[string]string{"k": secret}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "module-controller", Name: "mc-0", Labels: map[string]string{"app.kubernetes.io/name": "module-controller"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "module-controller", Env: []corev1.EnvVar{{Name: "ENV", Value: "default"}, {Name: "MQTT_PASSWORD", Value: secret}}}}}})
	path := filepath.Join(t.TempDir(), "dump.tar.gz")
	c := client(objects...)
	if _, err := run(t, c, "sysdump", "-f", path); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, path)
	for _, name := range []string{"status.yaml", "check.yaml", "nodes.yaml", "leases-members.yaml", "leases-bases.yaml", "pods-modules.yaml", "pods-replicas.yaml", "events.yaml", "logs/mc-0.log"} {
		if files["kubectl-modules/"+name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	for name, text := range files {
		if strings.Contains(text, secret) {
			t.Errorf("%s has a secret", name)
		}
	}
	if !strings.Contains(files["kubectl-modules/pods-modules.yaml"], "repo.example.com") || !strings.Contains(files["kubectl-modules/pods-replicas.yaml"], "value: default") {
		t.Error("what is needed was left out too")
	}
	for _, a := range c.Actions() {
		if slices.Contains([]string{"secrets", "configmaps"}, a.GetResource().Resource) {
			t.Errorf("it asked to %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
	if _, err := run(t, c, "sysdump", "-f", path); err == nil {
		t.Error("it wrote over a file")
	}
}

func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[head.Name] = string(text)
	}
}

// Shells complete pods and bases.
func TestCompletion(t *testing.T) {
	text, err := run(t, client(cluster(time.Now())...), "__complete", "-n", "team", "why", "")
	if err != nil || !strings.Contains(text, "orders-1\n") || !strings.Contains(text, "base-1\n") {
		t.Errorf("it completes with %v:\n%s", err, text)
	}
	text, err = run(t, client(cluster(time.Now())...), "__complete", "status", "-o", "")
	if err != nil || !strings.Contains(text, "yaml\n") {
		t.Errorf("it completes formats with %v:\n%s", err, text)
	}
}

// Nothing is written by any command.
func TestCommandsOnlyRead(t *testing.T) {
	c := client(cluster(time.Now())...)
	for _, args := range []string{"status", "check", "check --pre", "why -n team orders-1", "why base-1", "bases", "base base-1", "members", "top", "rebalance --dry-run"} {
		if _, err := run(t, c, strings.Fields(args)...); err != nil {
			t.Errorf("%s ends with %v", args, err)
		}
	}
	for _, a := range c.Actions() {
		if reads := slices.Contains([]string{"get", "list"}, a.GetVerb()); !reads && !strings.HasSuffix(a.GetResource().Resource, "accessreviews") {
			t.Errorf("it asked to %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}
