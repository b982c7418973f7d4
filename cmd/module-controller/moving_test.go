package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"module-controller/provider/plan"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// movedNames are the environment variables of module-controller v2.2.0.
var movedNames = []string{
	"CLIENT_ID", "ENABLE_HTTP_TUNNEL", "ENABLE_MODULE_DEPLOYMENT_CONTROLLER", "ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE", "ENABLE_MQTT_TUNNEL", "ENV",
	"HTTP_TUNNEL_LISTEN_PORT", "IS_CLUSTER", "KUBELET_PROXY_ENABLED", "KUBELET_PROXY_PORT", "MQTT_BROKER", "MQTT_CA_PATH", "MQTT_CLIENT_CRT_PATH",
	"MQTT_CLIENT_KEY_PATH", "MQTT_CLIENT_PREFIX", "MQTT_PASSWORD", "MQTT_PORT", "MQTT_USERNAME", "NAMESPACE", "REPORT_HOOKS", "TRACKER_CONFIG_PATH", "VNODE_WORKER_NUM", "WORKLOAD_MAX_LEVEL",
}

// movingRows gives what the page says that each variable does here.
func movingRows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n## Names\n")
	if table, _, _ = strings.Cut(table, "\n## "); !found {
		t.Fatal("the page has no table of names")
	}
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			rows[strings.Trim(name, " `")] = strings.TrimSpace(cells[3])
		}
	}
	return rows
}

// Each variable of the other controller is a setting here, and the page of the move tells what
// becomes of it: that it has no effect exactly where it has none.
func TestEachNameOfTheOtherControllerIsAccepted(t *testing.T) {
	rows, idle := movingRows(t), map[string]bool{}
	for _, s := range withoutEffect(newConfig()) {
		idle[s.env] = true
	}
	known := namesOf(settings(newConfig()))
	if on := slices.Sorted(maps.Keys(rows)); !slices.Equal(on, movedNames) {
		t.Errorf("the page has the names %q, want %q", on, movedNames)
	}
	for _, name := range movedNames {
		if !slices.Contains(known, name) {
			t.Errorf("%s is no setting", name)
		}
		if says := strings.HasPrefix(rows[name], "no effect"); says != idle[name] {
			t.Errorf("%s has no effect: %t; docs/moving.md says: %s", name, idle[name], rows[name])
		}
	}
}

// The values of the sample are a configuration, which has what the other controller has by
// default.
func TestTheSampleOfAMoveIsAConfiguration(t *testing.T) {
	env := map[string]string{"ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "broker.example.com", "POD_NAME": "mc-0", "POD_IP": "10.0.0.1"}
	sample := readAs[struct{ Settings map[string]string }](t, "../../manifests/samples/moving/values.yaml")
	maps.Copy(env, sample.Settings)
	cfg, err := readConfig(nil, env)
	if err != nil {
		t.Fatal(err)
	}
	id := cfg.clientID("mc-0_00000001")
	if pods := cfg.provider.Node.Pods; !slices.Equal(cfg.envs, []string{"dev"}) || pods != 65535 || cfg.mqtt.Port != 1883 || id != "koupleless@@@-mc-0_00000001" {
		t.Errorf("environments %q, %d pods, port %d, client id %s", cfg.envs, pods, cfg.mqtt.Port, id)
	}
	if len(cfg.ignored)+len(cfg.deprecated) > 0 {
		t.Errorf("the sample has %q, which have no effect, and %v, which are renamed", cfg.ignored, cfg.deprecated)
	}
}

// A base that another controller reached is asked over the tunnel that there is.
func TestTheTunnelsOfAnotherControllerAreOurs(t *testing.T) {
	for is, want := range map[string]string{plan.TunnelOfTopics: mqtttunnel.Name, plan.TunnelOfPorts: httptunnel.Name} {
		if is != want {
			t.Errorf("it is %q, want %q", is, want)
		}
	}
}
