package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"module-controller/election"
	"module-controller/shard"
)

// configFor configures a session with both tunnels before an API server that refuses
// all. Nobody is at the broker's port.
func configFor(t *testing.T, a *apiServer, env map[string]string, args ...string) *config {
	t.Helper()
	all := map[string]string{
		"KUBECONFIG": a.config.kubeconfig, "POD_NAME": "mc-0", "METRICS_BIND_ADDRESS": "127.0.0.1:0", "HEALTH_PROBE_BIND_ADDRESS": "0",
		"ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": "1", "ENABLE_HTTP_TUNNEL": "true",
	}
	maps.Copy(all, env)
	return read(t, all, args...)
}

func sessionOf(t *testing.T, cfg *config) *session {
	t.Helper()
	s, err := newSession(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Before it runs a session has all its parts, and none of them may write.
func TestANewSession(t *testing.T) {
	a := newAPIServer(t)
	for want, env := range map[string]map[string]string{
		"mqtt_tunnel_provider http_tunnel_provider": nil,
		"mqtt_tunnel_provider":                      {"ENABLE_HTTP_TUNNEL": "false"},
		"http_tunnel_provider":                      {"ENABLE_MQTT_TUNNEL": "false"},
	} {
		s := sessionOf(t, configFor(t, a, env))
		names := make([]string, 0, len(s.tunnels))
		for _, tun := range s.tunnels {
			names = append(names, tun.Name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("tunnels %s, want %s", got, want)
		}
		if s.owner.Valid() || s.owner.Until().After(time.Now()) {
			t.Errorf("it may write until %s", s.owner.Until())
		}
		if text := scrape(s.metrics); !strings.Contains(text, "\nmodule_controller_bases_owned 0") || !strings.Contains(text, `module_controller_bases{ready="true"} 0`) {
			t.Errorf("it is not counted:\n%s", text)
		}
	}
	if calls := a.asked(); len(calls) != 0 {
		t.Errorf("making a session asked the API server %v", calls)
	}
}

// Peer Deployments are scaled, and webhooks told, only where that is set.
func TestWhatIsOffIsNotThere(t *testing.T) {
	a := newAPIServer(t)
	s := sessionOf(t, configFor(t, a, nil))
	if s.scaler != nil || s.webhooks != nil {
		t.Errorf("a scaler: %t, webhooks: %t", s.scaler != nil, s.webhooks != nil)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("sixteen bytes or more"), 0o600); err != nil {
		t.Fatal(err)
	}
	on := configFor(t, a, map[string]string{"ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE": "true", "REPORT_HOOKS": " http://127.0.0.1:1/a;https://b , ", "REPORT_HOOKS_SECRET_FILE": secret})
	if s = sessionOf(t, on); s.scaler == nil || s.webhooks == nil {
		t.Errorf("a scaler: %t, webhooks: %t", s.scaler != nil, s.webhooks != nil)
	}
	if got := on.webhooks.URLs; !slices.Equal(got, []string{"http://127.0.0.1:1/a", "https://b"}) {
		t.Errorf("told are %q", got)
	}
}

// Others' client IDs are known unless CLIENT_ID makes ours no incarnation's.
func TestWhoIsEvicted(t *testing.T) {
	a := newAPIServer(t)
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"by its incarnation":     {nil, "evict module-controller-mc-1_00000001"}, // the broker is not there
		"with CLIENT_ID":         {map[string]string{"CLIENT_ID": "me"}, "not known when CLIENT_ID is set"},
		"there is no MQTT":       {map[string]string{"ENABLE_MQTT_TUNNEL": "false"}, ""},
		"no MQTT, but CLIENT_ID": {map[string]string{"ENABLE_MQTT_TUNNEL": "false", "CLIENT_ID": "me"}, ""},
	} {
		got := ""
		if err := sessionOf(t, configFor(t, a, c.env)).Evict(t.Context(), "mc-1_00000001"); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A session that cannot join ends when it is told to, with all that it started.
func TestASessionEndsWithAllThatItStarted(t *testing.T) {
	a := newAPIServer(t)
	before := goleak.IgnoreCurrent()
	cfg := configFor(t, a, nil)
	cfg.http.Listen = "127.0.0.1:0"
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- runSession(ctx, cfg, zap.NewNop()) }()
	<-a.any
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a.close()
	goleak.VerifyNone(t, before)
}

// A session that the members expired is followed by one with a new incarnation; any
// other end, and that of the process, is the end.
func TestOneSessionAfterTheOther(t *testing.T) {
	failed, replaced := errors.New("failed"), fmt.Errorf("run: %w", election.ErrReplaced)
	for name, c := range map[string]struct {
		ends []error
		last bool // the process ends during the last session
	}{
		"it ends":               {ends: []error{nil}},
		"it fails":              {ends: []error{failed}},
		"expired twice":         {ends: []error{replaced, replaced, nil}},
		"expired, then fails":   {ends: []error{replaced, failed}},
		"expired while it ends": {ends: []error{replaced, replaced}, last: true},
	} {
		ctx, end := context.WithCancel(t.Context())
		cfg := read(t, needed())
		was := cfg.election.Incarnation
		seen := map[string]bool{was: true}
		n := 0
		err := runSessions(ctx, cfg, zap.NewNop(), func(_ context.Context, cfg *config, _ *zap.Logger) error {
			if seen[cfg.election.Incarnation] {
				t.Errorf("%s: session %d is %s again", name, n, cfg.election.Incarnation)
			}
			seen[cfg.election.Incarnation] = true
			if n++; n == len(c.ends) && c.last {
				end()
			}
			return c.ends[n-1]
		})
		end()
		if want := c.ends[len(c.ends)-1]; n != len(c.ends) || !errors.Is(err, want) || cfg.election.Incarnation != was {
			t.Errorf("%s: %d sessions, %v; want %d, %v", name, n, err, len(c.ends), want)
		}
	}
}

// Each session has an incarnation of its own.
func TestIncarnations(t *testing.T) {
	one, other := newIncarnation("mc-0"), newIncarnation("mc-0")
	for _, i := range []string{one, other} {
		if pod, ok := shard.PodOf(i); !ok || pod != "mc-0" {
			t.Errorf("%s is %s's, %v", i, pod, ok)
		}
	}
	if one == other {
		t.Errorf("two sessions are %s", one)
	}
}
