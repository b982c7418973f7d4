package kubelet

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/exec"

	"module-controller/tunnel"
)

// What is run in a pod is a question to its base; anything else is refused, with what may be
// asked.
func TestWhatMayBeAsked(t *testing.T) {
	since := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	list := tunnel.Report{Listed: true, Modules: []tunnel.Module{{ModuleKey: tunnel.ModuleKey{Name: "stock", Version: "1.0.0"}, State: tunnel.Activated, Since: since}, {State: tunnel.Broken, Message: "no stock today"}}}
	health := tunnel.Report{Health: &tunnel.Health{MaxMemory: -1, UsedMemory: 70 << 20, CPUs: 2, CPUsInUse: 0.5, Uptime: 90 * time.Second}}
	for _, c := range []struct {
		command, pod string
		code         int
		want         string
	}{
		{"modules", "stock", 0, `"since": "2026-11-23T12:00:00Z"`},
		{"modules", "stock", 0, `"no stock today"`},
		{"health", "stock", 0, "{\n  \"usedMetaspaceBytes\": 73400320,\n  \"cpus\": 2,\n  \"cpusInUse\": 0.5,\n  \"uptime\": \"1m30s\"\n}\n"},
		{"threads", "stock", 126, "jcmd"},
		{"", "stock", 126, `"" is refused: a base is asked questions only: health, modules`},
		{"sh -c modules", "stock", 126, "is refused"},
		{"modules", "other", 1, "there is no pod orders/other"},
	} {
		w := newWorld(t)
		w.bases.answers = map[tunnel.Verb]tunnel.Report{tunnel.ListModules: list, tunnel.ReadHealth: health}
		got, code := run(t, w, c.pod, c.command, new(bytes.Buffer))
		if code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%q in %s: %d %s, want %d %s", c.command, c.pod, code, got, c.code, c.want)
		}
		if terminal, again := run(t, w, c.pod, c.command, nil); terminal != got || again != code {
			t.Errorf("%q with a terminal: %d %s", c.command, again, terminal)
		}
	}
	silent := newWorld(t)
	if got, code := run(t, silent, "stock", "modules", new(bytes.Buffer)); code != 1 || !strings.Contains(got, "does not answer") {
		t.Errorf("of a silent base: %d %s", code, got)
	}
}

// run runs a command, and gives all that it writes and its exit code. Without stderr it has a
// terminal.
func run(t *testing.T, w *world, pod, command string, stderr *bytes.Buffer) (text string, code int) {
	t.Helper()
	out := new(bytes.Buffer)
	ctx := context.WithValue(t.Context(), nodeKey{}, shopNode)
	err := w.exec(ctx, "orders", pod, "stock", strings.Fields(command), streams{out, stderr})
	if err != nil {
		var exited exec.CodeExitError
		if !errors.As(err, &exited) {
			t.Errorf("%s: %v has no exit code", command, err)
		}
		code = exited.Code
	}
	if stderr != nil {
		if (code == 0) == (stderr.Len() > 0) || (code == 0) == (out.Len() == 0) {
			t.Errorf("%s: %d, it tells %q and complains of %q", command, code, out, stderr)
		}
		out.Write(stderr.Bytes())
	}
	return out.String(), code
}

// Nothing that may be asked changes a base.
func TestQuestionsChangeNothing(t *testing.T) {
	for name, q := range questions {
		switch q.verb {
		case tunnel.ListModules, tunnel.ReadHealth:
		default:
			t.Errorf("%s is %s", name, q.verb)
		}
	}
}
