package main

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// manifests reads the objects of a manifest, all of one kind.
func manifests[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	f, err := os.Open("../../manifests/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for docs := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		var o T
		switch err := docs.Decode(&o); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, o)
	}
}

func statefulSet(t *testing.T) *appsv1.StatefulSet {
	t.Helper()
	return &manifests[appsv1.StatefulSet](t, "statefulset.yaml")[0]
}

// environment gives what the manifest sets, with what the downward API and the kubelet
// add. GOMEMLIMIT is the Go runtime's.
func environmentOf(t *testing.T, pod corev1.PodSpec) map[string]string {
	t.Helper()
	files := mountSecret(t)
	env := map[string]string{}
	for _, v := range pod.Containers[0].Env {
		if v.Name != "GOMEMLIMIT" {
			env[v.Name] = strings.Replace(v.Value, "/etc/module-controller/mqtt", files, 1)
		}
	}
	env["POD_NAME"] = "mc-0"
	return env
}

// mountSecret makes a folder as the Secret module-controller-mqtt makes one.
func mountSecret(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": ca, "password": []byte("s3cret")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The manifest is a configuration that starts, with no setting that is unknown or
// warned of, and its pods have the time to hand over all bases.
func TestTheManifestIsAConfiguration(t *testing.T) {
	pod := statefulSet(t).Spec.Template.Spec
	known := map[string]bool{}
	for _, s := range settings(newConfig()) {
		known[s.env] = true
	}
	env := environmentOf(t, pod)
	for name := range env {
		if !known[name] {
			t.Errorf("%s is no setting", name)
		}
	}
	cfg := read(t, env)
	if warnings := warned(cfg); len(warnings) != 0 {
		t.Errorf("warnings %v", warnings)
	}
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < cfg.election.Drain+10*time.Second {
		t.Errorf("the pod ends after %s, and handing over may take %s", grace, cfg.election.Drain)
	}
}

// As shipped, bases are reached through a broker that is proved by a certificate and knows
// our password, and by nothing else.
func TestTheManifestTrustsTheBrokerOnly(t *testing.T) {
	pod := statefulSet(t).Spec.Template.Spec
	cfg := read(t, environmentOf(t, pod))
	if cfg.useHTTP || !cfg.useMQTT || !cfg.mqtt.TLS || cfg.mqtt.PasswordFile == "" {
		t.Errorf("http %v, mqtt %v: %+v", cfg.useHTTP, cfg.useMQTT, cfg.mqtt)
	}
	mounted := func(path string) bool {
		for _, m := range pod.Containers[0].VolumeMounts {
			if strings.HasPrefix(path, m.MountPath+"/") && m.ReadOnly {
				return true
			}
		}
		return false
	}
	paths := []string{"/var/run/secrets/kubernetes.io/serviceaccount/token"}
	for _, v := range pod.Containers[0].Env {
		if strings.HasPrefix(v.Value, "/") {
			paths = append(paths, v.Value)
		}
	}
	for _, path := range paths {
		if !mounted(path) {
			t.Errorf("%s is not mounted", path)
		}
	}
}

// The Go runtime is told of less memory than the kernel ends the process at, and not of
// much less.
func TestTheMemoryLimitOfTheManifest(t *testing.T) {
	c := statefulSet(t).Spec.Template.Spec.Containers[0]
	limit := c.Resources.Limits.Memory().Value()
	for _, v := range c.Env {
		if v.Name != "GOMEMLIMIT" {
			continue
		}
		mebi, err := strconv.ParseInt(strings.TrimSuffix(v.Value, "MiB"), 10, 64)
		if soft := mebi << 20; err != nil || soft > limit*9/10 || soft < limit*8/10 {
			t.Errorf("GOMEMLIMIT is %s (%v), the limit %d", v.Value, err, limit)
		}
		return
	}
	t.Error("the runtime knows no limit")
}

// What the manifest says of ports is where they are, and who may reach them is said of
// ports that there are.
func TestThePortsOfTheManifest(t *testing.T) {
	cfg := read(t, map[string]string{"POD_NAME": "mc-0", "ENABLE_HTTP_TUNNEL": "true"})
	want := map[string]string{
		"heartbeat": portOf(cfg.http.Listen), "metrics": portOf(cfg.metricsAddress), "health": portOf(cfg.probeAddress),
		"peers": portOf(cfg.http.ListenPeers),
	}
	ports := sets.New[string]()
	for _, p := range statefulSet(t).Spec.Template.Spec.Containers[0].Ports {
		ports.Insert(p.Name)
		if strconv.Itoa(int(p.ContainerPort)) != want[p.Name] {
			t.Errorf("port %s is %d, and %s is listened on", p.Name, p.ContainerPort, want[p.Name])
		}
	}
	open := sets.New[string]()
	for _, rule := range manifests[networkingv1.NetworkPolicy](t, "network.yaml")[0].Spec.Ingress {
		for _, p := range rule.Ports {
			open.Insert(p.Port.String())
		}
	}
	if !open.Equal(ports) {
		t.Errorf("the NetworkPolicy is about %v, the pod has %v", sets.List(open), sets.List(ports))
	}
	for _, service := range manifests[corev1.Service](t, "service.yaml") {
		for _, p := range service.Spec.Ports {
			if !ports.Has(p.TargetPort.String()) {
				t.Errorf("Service %s leads to port %s, which is not there", service.Name, p.TargetPort.String())
			}
		}
	}
}

// The policies that limit the service account are about the one that the pods have.
func TestTheAdmissionPoliciesNameTheServiceAccount(t *testing.T) {
	set := statefulSet(t)
	user := "system:serviceaccount:" + set.Namespace + ":" + set.Spec.Template.Spec.ServiceAccountName
	for _, file := range []string{"admission.yaml", "reserve-vnodes/admission.yaml"} {
		text, err := os.ReadFile("../../manifests/" + file)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`system:serviceaccount:[^']+`).FindAllString(string(text), -1)
		if len(named) == 0 {
			t.Errorf("%s names no service account", file)
		}
		for _, n := range named {
			if n != user {
				t.Errorf("%s is about %s, the pods are %s", file, n, user)
			}
		}
	}
}

// The alerts ask for metrics that there are, and lead to the runbook that says what to do.
// NB: what they do with these metrics, `make e2e-alerts` judges.
func TestTheAlertsAskForMetricsThatThereAre(t *testing.T) {
	type rule struct {
		Record, Alert, Expr string
		Labels, Annotations map[string]string
	}
	type rules struct {
		Spec struct {
			Groups []struct{ Rules []rule }
		}
	}
	var page strings.Builder
	if err := printMetrics(&page); err != nil {
		t.Fatal(err)
	}
	runbooks, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	rulesFile, err := os.ReadFile("../../manifests/chart/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	recorded, metric := regexp.MustCompile(`\w+:[\w:]+`), regexp.MustCompile(`\b(`+prefix+`\w+?)(_bucket|_count|_sum)?\b`)
	names := sets.New[string]()
	for _, group := range manifests[rules](t, "alerts/prometheusrule.yaml")[0].Spec.Groups {
		for _, r := range group.Rules {
			for _, m := range metric.FindAllStringSubmatch(recorded.ReplaceAllString(r.Expr, ""), -1) {
				if !strings.Contains(page.String(), "`"+m[1]+"`") {
					t.Errorf("%s%s asks for %s, which there is not", r.Record, r.Alert, m[1])
				}
			}
			if r.Alert == "" {
				continue
			}
			if page, link := "\n## "+r.Alert+"\n", "runbook_url: docs/runbooks.md#"+strings.ToLower(r.Alert)+"\n"; !strings.Contains(string(runbooks), page) || !strings.Contains(string(rulesFile), link) {
				t.Errorf("%s has no runbook, or does not lead to it", r.Alert)
			}
			if url, has := r.Annotations["runbook_url"]; has { // nobody has said where the page is read
				t.Errorf("%s has the dead link %q", r.Alert, url)
			}
			if names.Has(r.Alert) || r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%+v is told twice or says too little", r)
			}
			names.Insert(r.Alert)
		}
	}
	if got, want := names.Len(), strings.Count(string(runbooks), "\n## "); got != want || got < 3 {
		t.Errorf("there are %d alerts and %d runbooks", got, want)
	}
}
