package javabase

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// sh begins a shell in a group of its own and returns when it has said a line,
// with what it and its children will say.
func sh(t *testing.T, script string) (*process, *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = ownGroup()
	cmd.Stdout = in
	p, err := begin(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.kill() })
	_ = in.Close() // the shell has its own
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	return p, out
}

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		script   string
		patience time.Duration
		want     string
	}{
		"obeys":     {"trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done", time.Minute, "exit status 7"},
		"does not":  {"trap '' TERM; echo up; while :; do sleep 0.05; done", 50 * time.Millisecond, "signal: killed"},
		"has ended": {"echo up; exit 3", time.Minute, "exit status 3"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := sh(t, c.script)
			if name == "has ended" {
				<-p.done
			}
			if err := p.stop(c.patience); err != nil {
				t.Fatal(err)
			}
			if p.err == nil || p.err.Error() != c.want {
				t.Fatalf("ended with %v, want %s", p.err, c.want)
			}
		})
	}
}

// TestKill sees that children end as well: nobody holds the pipe any more.
func TestKill(t *testing.T) {
	p, out := sh(t, "sleep 1000 & echo up; wait")
	for range 2 { // again does no harm
		if err := p.kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("a child lives: %v", err)
	}
}

func TestBeginFails(t *testing.T) {
	if p, err := begin(exec.Command("/no/such/program")); err == nil || p != nil {
		t.Fatalf("began %v, %v", p, err)
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
