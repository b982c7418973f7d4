package main

import (
	"os"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func statefulSet(t *testing.T) *appsv1.StatefulSet {
	t.Helper()
	f, err := os.Open("../../manifests/statefulset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var s appsv1.StatefulSet
	if err := yaml.NewYAMLOrJSONDecoder(f, 4096).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// The manifest is a configuration that starts, with no setting that is unknown or
// warned of, and its pods have the time to hand over all bases.
func TestTheManifestIsAConfiguration(t *testing.T) {
	pod := statefulSet(t).Spec.Template.Spec
	known := map[string]bool{}
	for _, s := range settings(newConfig()) {
		known[s.env] = true
	}
	env := map[string]string{}
	for _, v := range pod.Containers[0].Env {
		if !known[v.Name] {
			t.Errorf("%s is no setting", v.Name)
		}
		env[v.Name] = v.Value
	}
	env["POD_NAME"] = "mc-0" // of the downward API
	cfg := read(t, env)
	if warnings := warned(cfg); len(warnings) != 0 {
		t.Errorf("warnings %v", warnings)
	}
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < cfg.election.Drain+10*time.Second {
		t.Errorf("the pod ends after %s, and handing over may take %s", grace, cfg.election.Drain)
	}
}

// What the manifest says of ports is where they are.
func TestThePortsOfTheManifest(t *testing.T) {
	cfg := read(t, map[string]string{"POD_NAME": "mc-0", "ENABLE_HTTP_TUNNEL": "true"})
	want := map[string]string{"heartbeat": portOf(cfg.http.Listen), "peers": portOf(cfg.http.ListenPeers), "metrics": portOf(cfg.metricsAddress), "health": portOf(cfg.probeAddress)}
	for _, p := range statefulSet(t).Spec.Template.Spec.Containers[0].Ports {
		if strconv.Itoa(int(p.ContainerPort)) != want[p.Name] {
			t.Errorf("port %s is %d, and %s is listened on", p.Name, p.ContainerPort, want[p.Name])
		}
	}
}
