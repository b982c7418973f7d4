package main

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// needed is the least that a configuration has to say.
func needed() map[string]string {
	return map[string]string{"POD_NAME": "mc-0", "ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "broker"}
}

func read(t *testing.T, env map[string]string, args ...string) *config {
	t.Helper()
	cfg, err := readConfig(args, env)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// texts gives the values of all settings, by name.
func texts(cfg *config) map[string]string {
	all := map[string]string{}
	for _, s := range settings(cfg) {
		all[s.env] = s.value.String()
	}
	return all
}

// The reference shows what a setting that is not set is: setting it to that changes
// nothing, nor what is derived from it.
func TestTheDefaultsThatAreShownAreTheOnesThatHold(t *testing.T) {
	shown := newConfig()
	shown.complete()
	env := texts(shown)
	maps.Copy(env, needed())
	unset, set := read(t, needed()), read(t, env)
	if diff := cmp.Diff(texts(unset), texts(set)); diff != "" {
		t.Errorf("settings (-unset +set):\n%s", diff)
	}
	if unset.election.Timing != set.election.Timing || unset.provider != set.provider {
		t.Errorf("unset %+v, %+v\nset %+v, %+v", unset.election.Timing, unset.provider, set.election.Timing, set.provider)
	}
}

// Defaults that depend on other settings follow them.
func TestDefaultsFollowOtherSettings(t *testing.T) {
	cfg := read(t, map[string]string{"POD_NAME": "mc-0", "ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "broker", "MQTT_TLS": "true",
		"MEMBER_LEASE_DURATION": "12s", "LEASE_RENEW_INTERVAL": "15s", "ENABLE_HTTP_TUNNEL": "true", "POD_IP": "10.1.2.3"})
	got := map[string]any{
		"port with TLS": cfg.mqtt.Port, "server name": cfg.mqtt.ServerName, "bases": cfg.election.Bases,
		"failure timeout": cfg.election.FailureTimeout, "missing": cfg.election.Missing, "address": cfg.election.Address,
	}
	want := map[string]any{
		"port with TLS": 8883, "server name": "broker", "bases": 500,
		"failure timeout": 13 * time.Second, "missing": 25 * time.Second, "address": "10.1.2.3:7778",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A value is written as it would be read, in its shortest form.
func TestValuesAsText(t *testing.T) {
	cfg := newConfig()
	by := map[string]value{}
	for _, s := range settings(cfg) {
		by[s.env] = s.value
	}
	for _, c := range []struct{ env, set, want string }{
		{"STALE_AFTER", "60s", "1m"}, {"STALE_AFTER", "90s", "1m30s"}, {"STALE_AFTER", "20m", "20m"}, {"STALE_AFTER", "60m", "1h"},
		{"STALE_AFTER", "90m", "1h30m"}, {"STALE_AFTER", "2h1s", "2h0m1s"}, {"STALE_AFTER", "3500ms", "3.5s"}, {"STALE_AFTER", "100ms", "100ms"},
		{"DEFAULT_METASPACE", "1024Mi", "1Gi"}, {"DEFAULT_METASPACE", "1536Mi", "1536Mi"},
		{"ENV", " Dev, prod", "dev,prod"}, {"KUBE_API_QPS", "0.5", "0.5"}, {"KUBE_API_QPS", "1000", "1000"},
		{"HTTP_TUNNEL_LISTEN_PORT", "80", "80"}, {"HTTP_TUNNEL_ALLOWED_CIDRS", "10.0.0.0/8, 127.0.0.0/8,", "10.0.0.0/8,127.0.0.0/8"},
		{"MQTT_TLS", "1", "true"}, {"MAX_CONTAINERS", "", "0"}, {"PODS_PER_NODE", "7", "7"}, {"IS_CLUSTER", "true", ""},
	} {
		if err := by[c.env].Set(c.set); err != nil || by[c.env].String() != c.want {
			t.Errorf("%s=%s: %s, %v; want %s", c.env, c.set, by[c.env], err, c.want)
		}
	}
}

// What is wrong changes nothing, and the error says what is accepted.
func TestWrongValues(t *testing.T) {
	cfg := newConfig()
	cfg.complete()
	before := texts(cfg)
	by := map[string]value{}
	for _, s := range settings(cfg) {
		by[s.env] = s.value
	}
	for _, c := range []struct{ env, set, want string }{
		{"ENV", "", "must be distinct names separated by commas"}, {"ENV", "a,A", "must be distinct names separated by commas"},
		{"MQTT_TLS", "yes", "must be true or false"},
		{"MQTT_PORT", "0", "must be a port, from 1 to 65535"}, {"PODS_PER_NODE", "-1", "must be a whole number above 0"}, {"MAX_CONTAINERS", "4294967297", "must be a whole number above 0"},
		{"HTTP_TUNNEL_LISTEN_PORT", "http", "must be a port, from 1 to 65535"},
		{"KUBE_API_QPS", "0", "must be a number above 0"}, {"KUBE_API_QPS", "many", "must be a number above 0"},
		{"STALE_AFTER", "40", "must be a duration above 0, such as 40s or 5m"}, {"STALE_AFTER", "0s", "must be a duration above 0, such as 40s or 5m"},
		{"DEFAULT_METASPACE", "0", "must be a size, such as 512Mi"},
		{"HTTP_TUNNEL_ALLOWED_CIDRS", "10.0.0.0", `must be networks such as 10.0.0.0/8, separated by commas: netip.ParsePrefix("10.0.0.0"): no '/'`},
		{"LOG_FORMAT", "xml", "must be one of [json console]"}, {"LOG_LEVEL", "loud", "must be debug, info, warn or error"},
	} {
		if err := by[c.env].Set(c.set); err == nil || err.Error() != c.want {
			t.Errorf("%s=%s: %v, want %s", c.env, c.set, err, c.want)
		}
	}
	if diff := cmp.Diff(before, texts(cfg)); diff != "" {
		t.Errorf("values changed:\n%s", diff)
	}
}

// Each setting has a field of its own.
func TestASettingChangesOnlyItsField(t *testing.T) {
	for i, s := range settings(newConfig()) {
		if s.help == noEffect {
			continue
		}
		cfg := newConfig()
		want := texts(cfg)
		changed := settings(cfg)[i].value
		for _, v := range []string{"7", "17s", "true", "warn", "console", "uninstall", "10.0.0.0/8", ":17", "10.1.2.3", "kubernetes", "token", "forbid"} { // some kind takes each
			if err := changed.Set(v); err == nil {
				want[s.env] = v
				break
			}
		}
		if diff := cmp.Diff(want, texts(cfg)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.env, diff)
		}
	}
}
