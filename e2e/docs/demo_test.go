package docs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

// summary is what the demo says in the end.
var summary = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^  NODE +OWNER +TUNNEL +MEMORY +POD +STATUS *$`),
	regexp.MustCompile(`(?m)^  vnode\.base-0001\.demo +module-controller-[0-2] +mqtt_tunnel_provider +\S+ of \S+ +orders-\S+ +Running, Ready *$`),
	regexp.MustCompile(`(?m)^  bases    30 simulated; all Nodes Ready \S+ after the controller was$`),
	regexp.MustCompile(`(?m)^  modules  30 pods Ready \S+ after their Deployments were created$`),
	regexp.MustCompile(`(?m)^  failover \S+ from kill -9 of a replica until the last of its bases had another owner$`),
	regexp.MustCompile(`(?m)^  commands 30 installs and 0 uninstalls done by the simulated bases$`),
}

// hints are the commands that the demo prints for who looks around.
var hints = regexp.MustCompile(`(?m)^  ((?:alias k=|k ).*)$`)

// The quick start's demo tells what it should, stays up, and what it says how to look at is
// there; an interrupt ends it all.
func TestTheDemo(t *testing.T) {
	command := ""
	for _, b := range read(t, quickStart)[0].blocks {
		if strings.HasPrefix(b.text, "DEMO_KEEP=1 make demo\n") {
			command = b.text
		}
	}
	if command == "" {
		t.Fatalf("%s does not keep the demo up", quickStart)
	}
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("bash", "-c", "exec env "+command)
	cmd.Dir = harness.Root()
	cmd.Env = append(os.Environ(), "JAVA_HOME="+t.TempDir()) // no JDK: the demo is the same on each machine
	p, err := process.Start(cmd, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	said := awaitDemo(t, p, log)
	t.Log(said)
	for _, want := range summary {
		if !want.MatchString(said) {
			t.Errorf("the demo does not say %s", want)
		}
	}
	kubeconfig := lookAround(t, said)
	if err := syscall.Kill(-p.PID(), syscall.SIGINT); err != nil { // as a terminal does
		t.Fatal(err)
	}
	<-p.Done()
	if _, err := os.Stat(kubeconfig); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the demo has ended and left %s (%v)", kubeconfig, err)
	}
}

// awaitDemo waits until the demo has shown all and stays up, and gives what it said.
func awaitDemo(t *testing.T, p *process.Process, log string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var text []byte
	if err := harness.Until(ctx, func() (err error) {
		ended := p.Ended()
		if text, err = os.ReadFile(log); err != nil {
			return err
		}
		switch {
		case strings.Contains(string(text), "Interrupt with Ctrl-C to end it all"):
			return nil
		case ended:
			return harness.Final(fmt.Errorf("the demo ended: %w", p.Err()))
		}
		return errors.New("the demo goes on")
	}); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return string(text)
}

// lookAround runs the commands that the demo prints, and gives its kubeconfig.
func lookAround(t *testing.T, said string) (kubeconfig string) {
	t.Helper()
	var commands []string
	for _, m := range hints.FindAllStringSubmatch(said, -1) {
		commands = append(commands, m[1])
	}
	at := regexp.MustCompile(`--kubeconfig (\S+)'`).FindStringSubmatch(said)
	if len(commands) != 6 || at == nil {
		t.Fatalf("the demo tells these commands: %q", commands)
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-e", "-O", "expand_aliases", "-c", strings.Join(commands, "\n")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "No resources found") {
		t.Errorf("what the demo tells to run: %v: %s", err, out)
	}
	return at[1]
}
