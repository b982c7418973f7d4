package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "module-controller/internal/oneproc" // tests in bubbles
)

// faults gives what is wrong with a configuration, a fault a line.
func faults(t *testing.T, env map[string]string, args ...string) []string {
	t.Helper()
	_, err := readConfig(args, env)
	if err == nil {
		return nil
	}
	text, ok := strings.CutPrefix(err.Error(), "refusing to start:\n  ")
	if !ok {
		t.Fatal(err)
	}
	return strings.Split(text, "\n  ")
}

// A configuration is refused for each of these faults, which is named once, by the name
// that the user gave.
func TestEachFaultIsNamedOnce(t *testing.T) {
	whole := map[string]string{"POD_NAME": "mc-0", "ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "broker", "ENABLE_HTTP_TUNNEL": "true"}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want []string
	}{
		{},
		{env: map[string]string{"MQTT_BROKR": "b", "MQTT_PASWORD": "secret", "LOG_LEVLE": "debug", "HTTP_TUNNEL_SECRET": "secret"}, want: []string{
			"HTTP_TUNNEL_SECRET is no setting, but begins like one: remove it; --help lists the settings",
			"LOG_LEVLE is no setting: did you mean LOG_LEVEL?", "MQTT_BROKR is no setting: did you mean MQTT_BROKER?", "MQTT_PASWORD is no setting: did you mean MQTT_PASSWORD?"}},
		{args: []string{"--bad1=1", "--bad2=2", "--mqtt-brokr", "b", "stray", "--stale-after"}, want: []string{
			"--bad1 is no flag; --help lists the flags", "--bad2 is no flag; --help lists the flags", "--mqtt-brokr is no flag: did you mean --mqtt-broker?",
			"--stale-after needs a value", `unexpected argument "stray": neither a command nor a flag; --help lists both`}},
		{env: map[string]string{"HTTP_TUNNEL_LISTEN_PORT": "99999"}, want: []string{"HTTP_TUNNEL_LISTEN_PORT=99999: must be a port, from 1 to 65535"}},
		{env: map[string]string{"MQTT_PORT": "65536"}, want: []string{"MQTT_PORT=65536: must be a port, from 1 to 65535"}},
		{env: map[string]string{"METRICS_BIND_ADDRESS": "nonsense", "HEALTH_PROBE_BIND_ADDRESS": "host:8081"}, want: []string{
			"METRICS_BIND_ADDRESS=nonsense: must be host:port with an IP address or no host, such as :8080 or 127.0.0.1:8080; 0 disables it",
			"HEALTH_PROBE_BIND_ADDRESS=host:8081: must be host:port with an IP address or no host, such as :8080 or 127.0.0.1:8080; 0 disables it"}},
		{env: map[string]string{"METRICS_BIND_ADDRESS": ":65536"}, want: []string{
			"METRICS_BIND_ADDRESS=:65536: must be host:port with an IP address or no host, such as :8080 or 127.0.0.1:8080; 0 disables it"}},
		{env: map[string]string{"METRICS_BIND_ADDRESS": "127.0.0.1:8081"}, args: []string{"--http-tunnel-listen-port=8081"}, want: []string{
			"METRICS_BIND_ADDRESS (127.0.0.1:8081) and HEALTH_PROBE_BIND_ADDRESS (:8081) have the same port: change one",
			"METRICS_BIND_ADDRESS (127.0.0.1:8081) and --http-tunnel-listen-port (:8081) have the same port: change one",
			"HEALTH_PROBE_BIND_ADDRESS (:8081) and --http-tunnel-listen-port (:8081) have the same port: change one"}},
		{env: map[string]string{"METRICS_BIND_ADDRESS": "127.0.0.1:8081", "HEALTH_PROBE_BIND_ADDRESS": "127.0.0.2:8081"}},
		{env: map[string]string{"METRICS_BIND_ADDRESS": "127.0.0.1:0", "HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0"}},
		{env: map[string]string{"METRICS_BIND_ADDRESS": "0", "HEALTH_PROBE_BIND_ADDRESS": "0"}},
		{env: map[string]string{"KUBECONFIG": "/no/such/file"}, want: []string{"KUBECONFIG /no/such/file is of no use: stat /no/such/file: no such file or directory"}},
		{env: map[string]string{"POD_IP": "notanip"}, want: []string{"POD_IP=notanip: must be an IP address"}},
		{env: map[string]string{"POD_NAME": "Mc_0"}, want: []string{`POD_NAME "Mc_0" is no Pod's name`}},
		{env: map[string]string{"POD_NAMESPACE": "a.b"}, want: []string{`POD_NAMESPACE "a.b" is no namespace`}},
		{env: map[string]string{"KUBE_API_QPS": "NaN"}, want: []string{"KUBE_API_QPS=NaN: must be a number above 0"}},
		{env: map[string]string{"KUBE_API_QPS": "+Inf"}, want: []string{"KUBE_API_QPS=+Inf: must be a number above 0"}},
		{env: map[string]string{"LOG_LEVEL": "fatal"}, want: []string{"LOG_LEVEL=fatal: must be debug, info, warn or error"}},
		{env: map[string]string{"BACKOFF_FIRST": "10m", "BACKOFF_MAX": "5m"}, want: []string{"BACKOFF_MAX (5m0s) must be no shorter than BACKOFF_FIRST (10m0s)"}},
		{env: map[string]string{"STALE_AFTER": "-3s"}, want: []string{"STALE_AFTER=-3s: must be a duration above 0, such as 40s or 5m"}},
		{env: map[string]string{"STALE_AFTER": "3s"}, want: []string{"STALE_AFTER (3s) must be longer than LIST_INTERVAL (8s): a silent base is polled before it is stale"}},
		{args: []string{"--stale-after=3s"}, want: []string{"--stale-after (3s) must be longer than LIST_INTERVAL (8s): a silent base is polled before it is stale"}},
		{env: map[string]string{"LEASE_DURATION": "20s"}},
		{env: map[string]string{"LEASE_DURATION": "20s", "LEASE_RENEW_INTERVAL": "20s"}, want: []string{"LEASE_RENEW_INTERVAL (20s) must be shorter than LEASE_DURATION (20s)"}},
		{env: map[string]string{"MEMBER_RENEW_INTERVAL": "3s"}, want: []string{"MEMBER_RENEW_INTERVAL (3s) must be shorter than the suspicion timeout (2.5s)"}},
		{env: map[string]string{"ACT_WINDOW": "12s"}, want: []string{"the failure timeout (11s), a second more than MEMBER_LEASE_DURATION, must be longer than ACT_WINDOW (12s) and a fiftieth of it, by which clocks may differ"}},
		{env: map[string]string{"ENABLE_MQTT_TUNNEL": "maybe", "ENABLE_HTTP_TUNNEL": "false"}, want: []string{"ENABLE_MQTT_TUNNEL=maybe: must be true or false"}},
		{env: map[string]string{"ENABLE_MQTT_TUNNEL": "", "ENABLE_HTTP_TUNNEL": "no\nway"}, want: []string{`ENABLE_HTTP_TUNNEL="no\nway": must be true or false`}},
		{env: map[string]string{"MQTT_BROKER": "tcp://b"}, want: []string{`MQTT_BROKER "tcp://b" must be a host, without scheme, path or user`}},
	} {
		env := maps.Clone(whole)
		maps.Copy(env, c.env)
		got := faults(t, env, c.args...)
		for i, want := range c.want { // the library's own words about names are left out
			if i < len(got) && strings.HasPrefix(got[i], want+": ") {
				got[i] = want
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v %v (-want +got):\n%s", c.env, c.args, diff)
		}
	}
}

// All of it is told at once.
func TestAllFaultsAreToldAtOnce(t *testing.T) {
	got := faults(t, map[string]string{"POD_NAME": "mc-0", "MQTT_BROKR": "b", "POD_IP": "x", "BACKOFF_BASE": "1h", "KUBECONFIG": "/no"}, "--bad", "--worse=1")
	if len(got) != 7 { // no tunnel is enabled either
		t.Errorf("%d faults: %q", len(got), got)
	}
}

// What Kubernetes and other programs set is not refused.
func TestOthersVariablesAreNotRefused(t *testing.T) {
	env := needed()
	maps.Copy(env, map[string]string{
		"PATH": "/bin", "HOME": "/", "HOSTNAME": "mc-0", "NODE_NAME": "n", "NODE_IP": "1.2.3.4", "POD_ID": "x", "POD_IPS": "1.2.3.4", "HOST_IP": "1.2.3.4", "ENVS": "x",
		"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_PORT": "tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
		"MODULE_CONTROLLER_SERVICE_HOST": "10.96.0.2", "MODULE_CONTROLLER_SERVICE_PORT_METRICS": "8080", "MODULE_CONTROLLER_PORT_7777_TCP": "tcp://10.96.0.2:7777",
		"MQTT_SERVICE_HOST": "10.96.0.3", "MQTT_SERVICE_PORT": "1883", "MQTT_SERVICE_PORT_MQTT": "1883", "MQTT_PORT": "tcp://10.96.0.3:1883",
		"MQTT_PORT_1883_TCP": "tcp://10.96.0.3:1883", "MQTT_PORT_1883_TCP_PROTO": "tcp", "MQTT_PORT_1883_TCP_PORT": "1883", "MQTT_PORT_1883_TCP_ADDR": "10.96.0.3",
		"HTTP_PROXY": "", "HTTP2_PING_TIMEOUT_SECONDS": "5", "LOG_DIR": "/tmp", "GOMEMLIMIT": "460MiB", "OTEL_SERVICE_NAME": "x", "MAX_HEAP": "1", "ENABLE_X": "1",
	})
	if cfg := read(t, env); cfg.mqtt.Port != 1883 {
		t.Errorf("the port is the Service's: %d", cfg.mqtt.Port)
	}
	env["MQTT_PORT"] = "2883" // which the user set beside a Service of that name
	if cfg := read(t, env); cfg.mqtt.Port != 2883 {
		t.Errorf("the port is %d", cfg.mqtt.Port)
	}
	delete(env, "MQTT_SERVICE_HOST")
	if got := faults(t, env); len(got) == 0 {
		t.Error("without the Service they are accepted")
	}
}

const asProgram = "TEST_AS_PROGRAM_OF_MODULE_CONTROLLER"

// TestMain is the program itself where a test runs it.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	m.Run()
}

// A fault after the start ends the program, and is told once, in the log's format.
func TestAFaultAfterTheStartIsToldOnce(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	program := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	program.Env = []string{asProgram + "=1", "KUBECONFIG=" + newAPIServer(t).config.kubeconfig, "POD_NAME=mc-0", "HEALTH_PROBE_BIND_ADDRESS=0",
		"METRICS_BIND_ADDRESS=" + taken.Addr().String(), "ENABLE_MQTT_TUNNEL=true", "MQTT_BROKER=127.0.0.1", "MQTT_PORT=1"}
	var out bytes.Buffer
	program.Stdout, program.Stderr = &out, &out
	if err := program.Run(); err == nil {
		t.Error("it ended without an error")
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not in the log's format: %s", line)
		}
	}
	if n := strings.Count(out.String(), "address already in use"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, out.String())
	}
}
