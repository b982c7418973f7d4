package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inFile reads a configuration whose file has a text, in a folder of its own.
func inFile(t *testing.T, text string, env map[string]string, args ...string) *config {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return read(t, env, append(args, "--config=c.yaml")...)
}

// A flag goes before the environment, that before the file, and that before the default.
func TestWhatGoesBeforeWhat(t *testing.T) {
	text := head + "mqtt: {enabled: true, broker: file}\n"
	for want, c := range map[string]struct {
		broker string // the variable's value
		args   []string
	}{
		"file":        {},
		"environment": {broker: "environment"},
		"flag":        {broker: "environment", args: []string{"--mqtt-broker", "flag"}},
	} {
		t.Run(want, func(t *testing.T) {
			cfg := inFile(t, text, with(map[string]string{"POD_NAME": "mc-0"}, "MQTT_BROKER", c.broker), c.args...)
			if cfg.mqtt.Broker != want || cfg.mqtt.Port != 1883 {
				t.Errorf("%s:%d", cfg.mqtt.Broker, cfg.mqtt.Port)
			}
		})
	}
}

// Every setting that has an effect is a field of the file, of its own.
func TestEverySettingHasAField(t *testing.T) {
	fields := map[string]string{}
	for _, s := range settings(newConfig()) {
		if s.help == noEffect || s.env == "MODULE_CONTROLLER_CONFIG" {
			continue
		}
		if other := fields[s.field]; s.field == "" || other != "" {
			t.Errorf("%s has the field %q, as %s", s.env, s.field, other)
		}
		fields[s.field] = s.env
	}
}

// What is printed is a file that says the same.
func TestAPrintedConfigurationIsOne(t *testing.T) {
	env := with(with(needed(), "VNODE_LABELS", "zone=a,rack=7"), "HTTP_TUNNEL_ALLOWED_CIDRS", "10.0.0.0/8,fd00::/8")
	env = with(with(with(env, "ENABLE_HTTP_TUNNEL", "true"), "METRICS_BIND_ADDRESS", "0"), "ENV", "dev,prod")
	cfg := read(t, env, "--stale-after=90s", "--max-bases=7", "--kube-api-qps=99.5", "--mqtt-max-packet=1Mi")
	var printed bytes.Buffer
	if err := printConfig(&printed, cfg); err != nil {
		t.Fatal(err)
	}
	again := inFile(t, printed.String(), nil)
	want, got := texts(cfg), texts(again)
	want["MODULE_CONTROLLER_CONFIG"] = "c.yaml"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-printed +read):\n%s\n%s", diff, &printed)
	}
}

// Each value is printed with its origin, and no secret.
func TestOrigins(t *testing.T) {
	cfg := inFile(t, head+"mqtt:\n  enabled: true\n  username: u\nbases:\n  goneAfter: 20m\n", map[string]string{"POD_NAME": "mc-0", "MQTT_BROKER": "b", "MQTT_PASSWORD": "geheim", "ACT_WINDOW": "3s"}, "--stale-after=50s")
	var printed bytes.Buffer
	if err := printConfig(&printed, cfg); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  enabled: true # c.yaml:4\n", "  username: u # c.yaml:5\n", "  goneAfter: 20m # c.yaml:7\n", "  broker: b # environment MQTT_BROKER\n", "  staleAfter: 50s # flag --stale-after\n",
		"  port: 1883 # default\n", "  password: \"\" # not shown; environment MQTT_PASSWORD\n", "  renewDeadline: 3s # environment ACT_WINDOW\n", "environments: [default] # default\n",
		"  labels: {} # default\n", "  namespace: module-controller # default\n",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q is not in it", want)
		}
	}
	if strings.Contains(printed.String(), "geheim") {
		t.Error("the password is shown")
	}
	if t.Failed() {
		t.Log(printed.String())
	}
}

// The file of the reference is one, but for the files that it names.
func TestTheSampleIsAFile(t *testing.T) {
	text := strings.ReplaceAll(sampleFile, "/etc/module-controller/mqtt", ".")
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"c.yaml": text, "password": "x"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"c.yaml:12: mqtt.tls.caPath: read MQTT authorities: open ./ca.crt: no such file or directory"}
	if diff := cmp.Diff(want, faults(t, map[string]string{"POD_NAME": "mc-0"}, "--config=c.yaml")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is empty is not set; anchors and JSON are YAML too.
func TestFormsOfAFile(t *testing.T) {
	for name, text := range map[string]string{
		"empty":   head + "mqtt: {enabled: true, broker: b, port: , username: \"\", tls: }\nhttp:\nbases: {}\nnodes: {labels: {}}\nenvironments: []\n",
		"anchors": head + "mqtt: {enabled: &yes true, broker: b, wildcards: *yes}\n",
		"JSON":    `{"apiVersion": "` + apiVersion + `", "kind": "` + fileKind + `", "mqtt": {"enabled": true, "broker": "b"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := inFile(t, text, map[string]string{"POD_NAME": "mc-0"})
			if !cfg.useMQTT || cfg.mqtt.Broker != "b" || cfg.mqtt.Port != 1883 || strings.Join(cfg.envs, ",") != "default" || cfg.mqtt.Wildcards != (name == "anchors") {
				t.Errorf("%+v", cfg.mqtt)
			}
		})
	}
}
