//go:build java

package java

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/javabase"
	"module-controller/e2e/world"
)

// A real base that does not announce itself, found by its Pod, starts with five pods on it of
// which one has a bad jar: four run, and the fifth's pod says why. Its owner is killed in the
// middle, and nothing is installed twice.
//
// NB: over HTTP, as no runtime with MQTT is on the registry. These ask nobody what to install.
func TestABaselineWithABadJar(t *testing.T) {
	for _, r := range []javabase.Runtime{javabase.Boot3, javabase.Boot2} {
		t.Run(r.Koupleless, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			w := cluster.New(t).WithService()
			jars, err := javabase.Build(ctx, r, os.Stderr)
			w.Must(err)
			base, err := javabase.Start(ctx, javabase.Options{Artifacts: jars, Identity: "jvm", MetaspaceLimit: 256 << 20})
			w.Must(err)
			t.Cleanup(func() { w.Must(base.Close()) })
			w.CreateQuietPod("127.0.0.1", "jvm", func(p *corev1.Pod) {
				p.Annotations["base.koupleless.io/tunnel-port"] = strconv.Itoa(base.ArkletPort())
			})
			w.WithReplicas(3, "FIND_BASE_PODS=true", "LIST_INTERVAL=2s")
			w.AwaitNodesReady(1)

			good := map[string]string{"orders": jars.Module("orders", "1.0.0"), "stock": jars.Module("stock", "1.0.0"), "hello": jars.Module("hello", "1.0.0")}
			good["hello2"] = renamed(w, good["hello"], "hello", "hello2")
			for name, jar := range good {
				w.CreatePod(name, "jvm", name, "1.0.0", jar)
			}
			w.CreatePod("bad", "jvm", "bad", "1.0.0", "file:///nonexistent-ark-biz.jar")
			fourRun := func() {
				for name := range good {
					w.AwaitReady(name)
				}
				w.Eventually(world.Timeout, func() error {
					p, err := w.GetPod("bad")
					if err != nil {
						return err
					}
					if shown := world.Waiting(*p); !world.ContainsAny(shown, "InstallFailed: ", "InstallBackOff: ") || !world.ContainsAny(shown, "nonexistent-ark-biz.jar") {
						return fmt.Errorf("the bad one's pod shows %q", shown)
					}
					return nil
				})
			}
			fourRun()

			w.Must(base.Kill())
			w.Must(base.Restart(ctx))
			w.Eventually(world.Timeout, func() error {
				modules, err := base.Modules(ctx)
				if err == nil && len(modules) == 0 {
					err = errors.New("nothing is installed yet")
				}
				return err
			})
			w.Must(w.ReplicaOf(w.Owners()[w.NodeName("jvm")].Holder).Kill())
			for name := range good {
				(&jvm{World: w, base: base, jars: jars}).servesOnly(name, "1.0.0")
			}
			fourRun()
			text, err := os.ReadFile(base.Log())
			w.Must(err)
			for name, jars := range map[string]int{"orders": 1, "stock": 1, "hello": 2} { // hello2 says that it is hello
				if n := strings.Count(string(text), name+" 1.0.0 starts"); n != 2*jars {
					t.Errorf("%s started %d times in two processes, want %d in each; the log is %s", name, n, jars, base.Log())
				}
			}
			if modules, err := base.Modules(ctx); err != nil || len(modules) != len(good) {
				t.Errorf("the base has %+v (%v)", modules, err)
			}

			w.Eventually(world.Timeout, func() error { return asksBaseline(ctx, w.Endpoint()) }) // past the replica that is dead
		})
	}
}

// asksBaseline asks, from the base's address, what to install, and fails unless that is nothing.
func asksBaseline(ctx context.Context, endpoint string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/queryBaseline", strings.NewReader(`{"identity":"jvm"}`))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && (resp.StatusCode != http.StatusOK || string(answer) != "[]") {
		err = fmt.Errorf("answered %s %s", resp.Status, answer)
	}
	return err
}

// renamed makes a copy of a module's jar that says another name of itself, and gives its URL.
func renamed(w *world.World, url, from, to string) string {
	w.Helper()
	in, err := zip.OpenReader(strings.TrimPrefix(url, "file://"))
	w.Must(err)
	defer in.Close()
	path := filepath.Join(w.Dir, to+"-ark-biz.jar")
	file, err := os.Create(path)
	w.Must(err)
	out := zip.NewWriter(file)
	for _, entry := range in.File {
		switch {
		case entry.FileInfo().IsDir():
			_, err := out.Create(entry.Name)
			w.Must(err)
			continue
		case entry.Name != "META-INF/MANIFEST.MF":
			w.Must(out.Copy(entry))
			continue
		}
		r, err := entry.Open()
		w.Must(err)
		text, err := io.ReadAll(r)
		w.Must(err)
		said := "Ark-Biz-Name: " + from + "\r\n"
		if !strings.Contains(string(text), said) {
			w.Must(fmt.Errorf("the manifest of %s does not say %q", url, said))
		}
		body, err := out.Create(entry.Name)
		w.Must(err)
		_, err = io.WriteString(body, strings.Replace(string(text), said, "Ark-Biz-Name: "+to+"\r\n", 1))
		w.Must(err)
	}
	w.Must(errors.Join(out.Close(), file.Close()))
	return "file://" + path
}
