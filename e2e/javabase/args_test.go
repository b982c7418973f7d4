package javabase

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestArgs(t *testing.T) {
	newer := Runtime{Koupleless: "2.1.11", SpringBoot: "3.2.12", Announces: true, MQTT: true}
	broker := &MQTT{Host: "localhost", Port: 1883, Username: "u", Password: "p", ClientPrefix: "c"}
	for name, c := range map[string]struct {
		options    Options
		want, none []string
	}{
		"announced by the application": {
			options: Options{Artifacts: Artifacts{Runtime: Boot3, dir: "/jars"}, Identity: "b", HeartbeatEndpoint: "http://e", HeartbeatPeriod: time.Second},
			want: []string{
				"-Dbase.heartbeat.endpoint=http://e", "-Dbase.heartbeat.millis=1000", "-Dbase.identity=b",
				"-Dbase.name=base", "-Dbase.version=1.0.0", "-Dbase.cluster=default", "/jars/base.jar",
			},
			none: []string{"http.heartbeat.endpoint", "mqtt", "Metaspace"},
		},
		"announced by the runtime": {
			options: Options{Artifacts: Artifacts{Runtime: newer}, Identity: "b", Name: "n", HeartbeatEndpoint: "http://e"},
			want:    []string{"-Dkoupleless.arklet.http.heartbeat.endpoint=http://e", "-Dkoupleless.arklet.metadata.name=n"},
			none:    []string{"-Dbase.", "mqtt"},
		},
		"over a broker": {
			options: Options{Artifacts: Artifacts{Runtime: newer}, Identity: "b", MQTT: broker},
			want: []string{
				"-Dkoupleless.arklet.custom.tunnel.classname=" + mqttTunnel, "-Dkoupleless.arklet.mqtt.enable=true",
				"-Dkoupleless.arklet.mqtt.broker=localhost", "-Dkoupleless.arklet.mqtt.port=1883",
				"-Dkoupleless.arklet.mqtt.client.prefix=c",
			},
			none: []string{"heartbeat"},
		},
		"own properties win": {
			options: Options{MetaspaceLimit: 1 << 20, ArkletPort: 7, StockPort: 8, Properties: map[string]string{"stock.port": "9"}},
			want:    []string{"-XX:MaxMetaspaceSize=1048576", "-Dkoupleless.arklet.http.port=7", "-Dstock.port=9"},
			none:    []string{"-Dstock.port=8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := args(c.options)
			for _, w := range c.want {
				if !slices.Contains(got, w) {
					t.Errorf("%q is missing in %q", w, got)
				}
			}
			for _, n := range c.none {
				if strings.Contains(strings.Join(got, " "), n) {
					t.Errorf("%q is in %q", n, got)
				}
			}
		})
	}
}

func TestRootCause(t *testing.T) {
	for trace, want := range map[string]string{
		"":               "",
		"a.B: x\n\tat y": "",
		"a.B: x\n\tat y\nCaused by: c.D: one\n\tat z\nCaused by: e.F: two\n\tat w\n": "e.F: two",
		"a.B: x\nCaused by: e.F": "e.F",
	} {
		if got := (Answer{Trace: trace}).RootCause(); got != want {
			t.Errorf("root cause of %q: got %q, want %q", trace, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	one := fstest.MapFS{"a": {Data: []byte("1")}, "b": {Data: []byte("2")}}
	moved := fstest.MapFS{"a": {Data: []byte("12")}, "b": {}}
	seen := map[string]string{}
	for name, f := range map[string]func() (string, error){
		"sources":       func() (string, error) { return fingerprint(one, Boot3) },
		"other bounds":  func() (string, error) { return fingerprint(moved, Boot3) },
		"other runtime": func() (string, error) { return fingerprint(one, Boot2) },
	} {
		got, err := f()
		if err != nil || len(got) != 12 {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[got] = name
		if again, err := f(); err != nil || again != got {
			t.Errorf("%s: %q, then %q, %v", name, got, again, err)
		}
	}
}

// TestBuildCached sees that nothing is run where the jars are there already.
func TestBuildCached(t *testing.T) {
	t.Setenv("PATH", "") // no maven
	root := t.TempDir()
	sum, err := fingerprint(sources, Boot3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := buildIn(t.Context(), root, Boot3, io.Discard); err == nil {
		t.Fatal("built without maven")
	}
	dir := filepath.Join(root, Boot3.String()+"-"+sum)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "base.jar"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := buildIn(t.Context(), root, Boot3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.Module("orders", "1.0.0"), "file://"+dir+"/orders-1.0.0-ark-biz.jar"; got != want {
		t.Fatalf("module: got %s, want %s", got, want)
	}
}

func TestStartRefuses(t *testing.T) {
	built := Artifacts{Runtime: Boot3, dir: t.TempDir()}
	for name, o := range map[string]Options{
		"no artifacts":         {Identity: "b"},
		"no identity":          {Artifacts: built},
		"mqtt without support": {Artifacts: built, Identity: "b", MQTT: &MQTT{}},
	} {
		if b, err := Start(t.Context(), o); err == nil {
			t.Errorf("%s: started", name)
			_ = b.Close()
		}
	}
}

// TestStartEnds sees that a base that ends at once is an error with its reason.
func TestStartEnds(t *testing.T) {
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	o := Options{Artifacts: Artifacts{Runtime: Boot3, dir: t.TempDir()}, Identity: "b"}
	if b, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "start base b") {
		t.Fatalf("started %v, %v", b, err)
	}
}
