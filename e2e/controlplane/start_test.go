package controlplane

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"module-controller/e2e/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failing starts a control plane that cannot start, and shows that it leaves
// nothing behind.
func failing(t *testing.T, ctx context.Context, o Options) error {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	o.Log = t.Output()
	c, err := Start(ctx, o)
	if err == nil {
		t.Fatal(errors.Join(errors.New("it started"), c.Stop()))
	}
	left, readErr := os.ReadDir(os.TempDir())
	if readErr != nil || len(left) > 0 {
		t.Errorf("a failed start left %v (%v)", left, readErr)
	}
	return err
}

func TestStartTellsWhyAComponentEnded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err := failing(t, ctx, Options{Args: map[Component][]string{APIServer: {"--no-such-flag"}}})
	for _, want := range []string{"kube-apiserver ended", "unknown flag: --no-such-flag"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}

func TestStartRefusesAnUnknownComponent(t *testing.T) {
	err := failing(t, t.Context(), Options{Args: map[Component][]string{"kubelet": {"--v=4"}}})
	if !strings.Contains(err.Error(), `"kubelet"`) {
		t.Errorf("error is %v, want the component's name in it", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	elsewhere, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// An etcd that runs but does not serve where it is looked for.
	err = failing(t, ctx, Options{Args: map[Component][]string{Etcd: {"--listen-client-urls=http://" + local(elsewhere)}}})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for etcd") {
		t.Errorf("error is %v, want the deadline's", err)
	}
}
