package main

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// clear is what top writes on a terminal before each screen.
const clear = "\x1b[H\x1b[2J\x1b[3J"

// On a terminal top shows the fleet as it becomes, in colours, until it is told to end.
func TestTopIsLiveOnATerminal(t *testing.T) {
	c := client(cluster(time.Now())...)
	screen, end := onTerminal(t, c, "top", "--every", "500ms")
	screen.await(t, clear, "\x1b["+string(bold)+"mmodule-controller", "1 of 1 ready")
	silence(t, c)
	screen.await(t, clear, "0 of 1 ready", "\x1b["+string(red)+"m", "base is silent")
	if err := end(); err != nil {
		t.Error(err)
	}
}

// Who wants no colours gets none, on a terminal too.
func TestNoColoursWhereTheyAreNotWanted(t *testing.T) {
	for name, set := range map[string]func() []string{
		"--color":  func() []string { return []string{"status", "--color", "never"} },
		"NO_COLOR": func() []string { t.Setenv("NO_COLOR", "1"); return []string{"status"} },
	} {
		screen, end := onTerminal(t, client(cluster(time.Now())...), set()...)
		if text := screen.await(t, "nothing is wrong"); strings.Contains(text, "\x1b[") {
			t.Errorf("with %s it has colours: %q", name, text)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

// silence makes the cluster's base be silent.
func silence(t *testing.T, c *fake.Clientset) {
	t.Helper()
	nodes := c.CoreV1().Nodes()
	all, err := nodes.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := &all.Items[0]
	silent([]runtime.Object{n})
	if _, err := nodes.UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// terminalOf is what somebody sees on a terminal.
type terminalOf struct{ lines *bufio.Reader }

// onTerminal runs a command on a terminal of its own, for half a minute at most: what it did not
// write by then does not come. end ends it, and gives its error.
func onTerminal(t *testing.T, c kubernetes.Interface, args ...string) (seen terminalOf, end func() error) {
	t.Helper()
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() }) // it was read
	o := &options{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: tty, ErrOut: tty}, kube: genericclioptions.NewConfigFlags(false)}
	o.connect = func() (kubernetes.Interface, error) { return c, nil }
	root := o.root()
	root.SetArgs(args)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	ended := make(chan error, 1)
	go func() {
		err := root.ExecuteContext(ctx)
		_ = tty.Close() // which ends what is read
		ended <- err
	}()
	return terminalOf{bufio.NewReader(screen)}, func() error { cancel(); return <-ended }
}

// await reads lines until all of some texts have come, in order, and gives what it read.
func (s terminalOf) await(t *testing.T, texts ...string) (read string) {
	t.Helper()
	for rest := ""; len(texts) > 0; {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%q did not come (%v) after %q", texts[0], err, read)
		}
		read += line
		for rest = rest + line; len(texts) > 0; texts = texts[1:] {
			_, after, found := strings.Cut(rest, texts[0])
			if !found {
				break
			}
			rest = after
		}
	}
	return read
}
