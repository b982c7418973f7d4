package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"module-controller/provider/plan"
)

func TestConfigFromEnvironmentAndFlags(t *testing.T) {
	cfg, err := readConfig([]string{"--stale-after=50s", "--env", "Dev,prod"}, map[string]string{
		"ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "broker", "POD_NAME": "mc-0", "STALE_AFTER": "70s", "ENV": "default",
		"DEFAULT_METASPACE": "512Mi", "UNMANAGED_MODULES": "uninstall", "IS_CLUSTER": "true", "KUBELET_PROXY_ENABLED": "false",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.provider.StaleAfter != 50*time.Second {
		t.Errorf("the flag does not win: %s", cfg.provider.StaleAfter)
	}
	if strings.Join(cfg.envs, ",") != "dev,prod" || strings.Join(cfg.mqtt.Environments, ",") != "dev,prod" {
		t.Errorf("environments %v, %v", cfg.envs, cfg.mqtt.Environments)
	}
	if cfg.provider.Node.DefaultMetaspace != 512<<20 || cfg.provider.Plan.Policy != plan.PolicyUninstall {
		t.Errorf("metaspace %d, policy %s", cfg.provider.Node.DefaultMetaspace, cfg.provider.Plan.Policy)
	}
	session := cfg.election.Incarnation
	if cfg.clientID(session) != "module-controller-"+session || !strings.HasPrefix(session, "mc-0_") {
		t.Errorf("client id %s, incarnation %s", cfg.clientID(session), session)
	}
	if strings.Join(cfg.ignored, ",") != "IS_CLUSTER" {
		t.Errorf("ignored %v", cfg.ignored)
	}
}

// All errors of a configuration are reported together, and no secret.
func TestConfigReportsAllErrors(t *testing.T) {
	_, err := readConfig([]string{"--vnode-worker-num=-3", "stray"}, map[string]string{
		"ENABLE_MQTT_TUNNEL": "maybe", "STALE_AFTER": "-5s", "GONE_AFTER": "soon", "ENV": "a,,b", "MQTT_PORT": "x",
		"DEFAULT_METASPACE": "much", "LOG_LEVEL": "loud", "LOG_FORMAT": "xml", "HTTP_TUNNEL_ALLOWED_CIDRS": "10.0.0.0",
		"UNMANAGED_MODULES": "burn", "LEASE_RENEW_INTERVAL": "60s", "MQTT_PASSWORD": "hidden", "KUBE_API_QPS": "0",
	})
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{"stray", "--vnode-worker-num=-3", "ENABLE_MQTT_TUNNEL=maybe", "STALE_AFTER=-5s", "GONE_AFTER=soon", "ENV=a,,b",
		"MQTT_PORT=x", "DEFAULT_METASPACE=much", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "HTTP_TUNNEL_ALLOWED_CIDRS=10.0.0.0", "UNMANAGED_MODULES=burn",
		"LEASE_RENEW_INTERVAL (1m0s) must be shorter", "KUBE_API_QPS=0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Error("the password is shown")
	}
	if _, err := readConfig([]string{"--no-such-flag"}, nil); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("unknown flag: %v", err)
	}
	if _, err := readConfig(nil, map[string]string{"ENABLE_MQTT_TUNNEL": "true", "MQTT_CA_PATH": "/no/such/file", "MQTT_BROKER": "b"}); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("missing file: %v", err)
	}
}

func TestHealth(t *testing.T) {
	failing := true
	h := healthHandler(nil, []check{{"caches-synced", func() error { return nil }}, {"tunnel", func() error {
		if failing {
			return http.ErrServerClosed
		}
		return nil
	}}}, func() []string { return []string{"insecure X: y"} })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get("/readyz"); code != http.StatusInternalServerError || !strings.Contains(body, "[-]tunnel failed") {
		t.Errorf("readyz while failing: %d %s", code, body)
	}
	if code, body := get("/readyz/tunnel"); code != http.StatusInternalServerError || !strings.Contains(body, http.ErrServerClosed.Error()) {
		t.Errorf("what fails: %d %s", code, body)
	}
	if code, body := get("/readyz?verbose&exclude=tunnel"); code != http.StatusOK || !strings.Contains(body, "[+]tunnel excluded: ok\n") {
		t.Errorf("readyz without what fails: %d %s", code, body)
	}
	if code, _ := get("/livez"); code != http.StatusOK {
		t.Errorf("livez while a tunnel fails: %d", code)
	}
	failing = false
	if code, body := get("/readyz?verbose"); code != http.StatusOK || body != "[+]ping ok\n[+]caches-synced ok\n[+]tunnel ok\nreadyz check passed\n[i]insecure X: y\n" {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, body := get("/readyz"); code != http.StatusOK || body != "ok" {
		t.Errorf("readyz in short: %d %s", code, body)
	}
}

// Bases are found by their Pods only where Pods prove who a base is.
func TestBasesAreFoundWherePodsAreKnown(t *testing.T) {
	for auth, want := range map[string]bool{"pod": true, "token": true, "certificate": false, "address": false, "insecure-anyone": false} {
		_, err := readConfig(nil, map[string]string{
			"POD_NAME": "mc-0", "ENABLE_HTTP_TUNNEL": "true", "FIND_BASE_PODS": "true", "HTTP_TUNNEL_AUTH": auth, "HTTP_TUNNEL_ALLOWED_CIDRS": "10.0.0.0/8",
		})
		if named := err != nil && strings.Contains(err.Error(), "FIND_BASE_PODS needs HTTP_TUNNEL_AUTH=pod or token"); named == want {
			t.Errorf("HTTP_TUNNEL_AUTH=%s: %v", auth, err)
		}
	}
}
