//go:build java

package javabase

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRealBase checks one story on each runtime: what a controller will meet on it.
func TestRealBase(t *testing.T) {
	if err := Available(t.Context()); err != nil {
		t.Fatal(err)
	}
	for r, metaspace := range map[Runtime]int64{
		Boot3: 256 << 20,
		Boot2: 0, // its health has no metaspace
	} {
		t.Run(r.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			artifacts, err := Build(ctx, r, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			beats, endpoint := listen(t)
			b := start(ctx, t, Options{
				Artifacts: artifacts, Identity: "base-1", Version: "1.2.3", HeartbeatEndpoint: endpoint,
				MetaspaceLimit: 256 << 20,
			})
			t.Logf("answered after %s", b.Took())
			checkBeat(ctx, t, beats, b)
			checkMetaspace(ctx, t, b, metaspace)
			checkVersions(ctx, t, b)
			checkFailures(ctx, t, b)
			checkHello(ctx, t, b)
			checkRestart(ctx, t, beats, b)
			checkEnd(ctx, t, b)
		})
	}
}

// A beat is a heartbeat as the base's application posts it.
type beat struct {
	BaseMetadata struct{ Identity, Name, Version, ClusterName string }
	LocalIP      string
	Port         int
	State        string
}

// listen serves the heartbeat endpoint. The channel has the newest heartbeat only.
func listen(t *testing.T) (<-chan beat, string) {
	t.Helper()
	beats := make(chan beat, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b beat
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil || r.URL.Path != "/heartbeat" {
			t.Errorf("heartbeat to %s: %v", r.URL.Path, err)
			return
		}
		select {
		case <-beats:
		default:
		}
		beats <- b
	}))
	t.Cleanup(server.Close)
	return beats, server.URL
}

func start(ctx context.Context, t *testing.T, o Options) *Base {
	t.Helper()
	b, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func checkBeat(ctx context.Context, t *testing.T, beats <-chan beat, b *Base) {
	t.Helper()
	var want beat
	want.BaseMetadata.Identity, want.BaseMetadata.Name = "base-1", "base"
	want.BaseMetadata.Version, want.BaseMetadata.ClusterName = "1.2.3", "default"
	want.LocalIP, want.Port, want.State = "127.0.0.1", b.ArkletPort(), "activated"
	select {
	case got := <-beats:
		if got != want {
			t.Fatalf("heartbeat: got %+v, want %+v", got, want)
		}
	case <-ctx.Done():
		t.Fatal("no heartbeat")
	}
}

func checkMetaspace(ctx context.Context, t *testing.T, b *Base, want int64) {
	t.Helper()
	var health struct {
		HealthData struct {
			JVM struct {
				Max int64 `json:"java max metaspace"`
			}
		}
	}
	a, err := b.Command(ctx, "health", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(a.Data, &health); err != nil {
		t.Fatal(err)
	}
	if got := health.HealthData.JVM.Max; got != want {
		t.Fatalf("metaspace limit: got %d, want %d", got, want)
	}
}

// checkVersions installs two versions side by side and switches between them.
func checkVersions(ctx context.Context, t *testing.T, b *Base) {
	t.Helper()
	install(ctx, t, b, "orders", "1.0.0", "SUCCESS")
	wantModules(ctx, t, b, "orders:1.0.0 activated")
	install(ctx, t, b, "orders", "2.0.0", "SUCCESS")
	wantModules(ctx, t, b, "orders:1.0.0 activated", "orders:2.0.0 deactivated")
	command(ctx, t, b, "switchBiz", "orders", "2.0.0", "SUCCESS")
	wantModules(ctx, t, b, "orders:1.0.0 deactivated", "orders:2.0.0 activated")
	command(ctx, t, b, "uninstallBiz", "orders", "1.0.0", "SUCCESS")
	wantModules(ctx, t, b, "orders:2.0.0 activated")
}

// checkFailures installs modules that cannot start; those that serve go on.
func checkFailures(ctx context.Context, t *testing.T, b *Base) {
	t.Helper()
	a := install(ctx, t, b, "orders", "3.0.0", "CMD_PROCESS_INTERNAL_ERROR")
	if got, want := a.RootCause(), "java.lang.IllegalStateException: no stock today"; got != want {
		t.Fatalf("root cause: got %q, want %q", got, want)
	}
	install(ctx, t, b, "stock", "1.0.0", "SUCCESS")
	a = install(ctx, t, b, "stock", "2.0.0", "CMD_PROCESS_INTERNAL_ERROR")
	if want := "Port " + strconv.Itoa(b.StockPort()) + " is already in use"; !strings.Contains(a.Trace, want) {
		t.Fatalf("trace without %q:\n%s", want, a.Trace)
	}
	wantModules(ctx, t, b, "orders:2.0.0 activated", "stock:1.0.0 activated")
}

// checkHello removes a module without Spring: an error answer, though it is done.
func checkHello(ctx context.Context, t *testing.T, b *Base) {
	t.Helper()
	install(ctx, t, b, "hello", "1.0.0", "SUCCESS")
	wantModules(ctx, t, b, "hello:1.0.0 activated", "orders:2.0.0 activated", "stock:1.0.0 activated")
	command(ctx, t, b, "uninstallBiz", "hello", "1.0.0", "CMD_PROCESS_INTERNAL_ERROR")
	wantModules(ctx, t, b, "orders:2.0.0 activated", "stock:1.0.0 activated")
}

// checkRestart kills the base and starts it again: empty, on the same port.
func checkRestart(ctx context.Context, t *testing.T, beats <-chan beat, b *Base) {
	t.Helper()
	url, pid := b.URL(), b.PID()
	if err := b.Restart(ctx); err == nil {
		t.Fatal("a running base was started again")
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	wantSilent(ctx, t, b)
	select {
	case <-beats: // of the run that ended
	default:
	}
	if err := b.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if b.URL() != url || b.PID() == pid {
		t.Fatalf("restarted as %s, process %d, after %s, process %d", b.URL(), b.PID(), url, pid)
	}
	wantModules(ctx, t, b)
	checkBeat(ctx, t, beats, b)
	install(ctx, t, b, "orders", "1.0.0", "SUCCESS")
}

// checkEnd stops the base and sees that all it wrote was in its own directory.
func checkEnd(ctx context.Context, t *testing.T, b *Base) {
	t.Helper()
	unpacked, err := filepath.Glob(filepath.Join(b.o.Dir, "tmp", "sofa-ark", "orders-1.0.0-*"))
	if err != nil || len(unpacked) == 0 {
		t.Fatalf("no module was unpacked in %s: %v", b.o.Dir, err)
	}
	if _, err := os.Stat(filepath.Join(b.o.Dir, "logs", "sofa-ark")); err != nil {
		t.Fatalf("the runtime logs elsewhere: %v", err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	wantSilent(ctx, t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.o.Dir); !os.IsNotExist(err) {
		t.Fatalf("%s was left behind: %v", b.o.Dir, err)
	}
}

func wantSilent(ctx context.Context, t *testing.T, b *Base) {
	t.Helper()
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(b.URL(), "http://"))
	if err == nil {
		_ = c.Close()
		t.Fatal("a base that was ended still listens")
	}
}

func install(ctx context.Context, t *testing.T, b *Base, name, version, code string) Answer {
	t.Helper()
	a, err := b.Install(ctx, name, version)
	if err != nil {
		t.Fatal(err)
	}
	if a.Code != code {
		t.Fatalf("install %s:%s: got %s %s, want %s", name, version, a.Code, a.Message, code)
	}
	return a
}

func command(ctx context.Context, t *testing.T, b *Base, cmd, name, version, code string) {
	t.Helper()
	a, err := b.Command(ctx, cmd, map[string]string{"bizName": name, "bizVersion": version})
	if err != nil {
		t.Fatal(err)
	}
	if a.Code != code {
		t.Fatalf("%s %s:%s: got %s %s, want %s", cmd, name, version, a.Code, a.Message, code)
	}
}

// wantModules compares the base's list, in the order of names and versions.
func wantModules(ctx context.Context, t *testing.T, b *Base, want ...string) {
	t.Helper()
	list, err := b.Modules(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, m.Name+":"+m.Version+" "+m.State)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("modules: got %q, want %q", got, want)
	}
}
