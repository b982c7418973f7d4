package process

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// sh begins a shell in a group of its own and returns when it has said a line,
// with what it and its children will say.
func sh(t *testing.T, script string) (*Process, *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdout = in
	p, err := Start(cmd, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	_ = in.Close() // the shell has its own
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	return p, out
}

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
		fails   bool
		want    string
	}{
		"obeys":     {"trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done", time.Minute, false, "exit status 7"},
		"hangs":     {"trap '' TERM; trap 'exit 9' QUIT; echo up; while :; do sleep 0.05; done", 50 * time.Millisecond, true, "exit status 9"},
		"does not":  {"trap '' TERM QUIT; echo up; while :; do sleep 0.05; done", 50 * time.Millisecond, true, "signal: killed"},
		"has ended": {"echo up; exit 3", time.Minute, false, "exit status 3"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := sh(t, c.script)
			if name == "has ended" {
				<-p.Done()
			}
			if err := p.Stop(c.timeout); (err != nil) != c.fails {
				t.Fatal(err)
			}
			if err := p.Err(); err == nil || err.Error() != c.want {
				t.Fatalf("ended with %v, want %s", err, c.want)
			}
		})
	}
}

// TestKill sees that children end as well: nobody holds the pipe any more.
func TestKill(t *testing.T) {
	p, out := sh(t, "sleep 1000 & echo up; wait")
	for range 2 { // again does no harm
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("a child is still running: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	if p, err := Start(exec.Command("/no/such/program"), ""); err == nil || p != nil {
		t.Fatalf("started %v, %v", p, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("sh", "-c", "echo up; sleep 1000")
	cmd.Stdout = in
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		_, _ = out.Read(make([]byte, 16))
		cancel(enough)
	}()
	if err := Run(ctx, cmd); !errors.Is(err, enough) {
		t.Errorf("ran and ended with %v, want %v", err, enough)
	}
	_ = in.Close()
	if err := Run(t.Context(), exec.Command("sh", "-c", "exit 3")); err == nil || err.Error() != "exit status 3" {
		t.Errorf("ended with %v", err)
	}
}
