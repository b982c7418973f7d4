package processes

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// module is one that runs. Base.mu guards its state.
type module struct {
	key   tunnel.ModuleKey
	state string
	since int64

	stop  sync.Once
	kill  context.CancelFunc // nil before it runs
	ended chan struct{}      // closed when its process has ended, if it ever ran
}

func (m *module) turn(state string, now int64) { m.state, m.since = state, now }

func (m *module) lives() bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// run starts the module's process, and returns when it serves or has ended. It ends with its
// base's process, p; ctx ends the wait only.
func (m *module) run(ctx context.Context, p *process, path string, args []string, env map[string]string) error {
	living, kill := context.WithCancel(p.ctx)
	cmd := exec.CommandContext(living, "/bin/sh", append([]string{path}, args...)...) //nolint:contextcheck // it outlives the order
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	said := &bytes.Buffer{}
	cmd.Stderr = said
	in, err1 := cmd.StdinPipe() // it is closed with the base, and the module ends with that
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		kill()
		close(m.ended)
		p.work.Done()
		return fmt.Errorf("start %s: %w", m.key, err)
	}
	m.kill = kill
	ready := make(chan bool, 1)
	go func() {
		defer p.work.Done()
		defer close(m.ended)
		defer kill()
		defer func() { _ = in.Close() }()
		word, _ := bufio.NewReader(out).ReadString('\n')
		ready <- word == "ready\n"
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}()
	select {
	case is := <-ready:
		if is {
			return nil
		}
		<-m.ended
		return errors.New(cmp.Or(strings.TrimSpace(said.String()), errEnded.Error()))
	case <-ctx.Done():
		m.end()
		return ctx.Err()
	}
}

// end kills the module's process, and returns when it has ended.
func (m *module) end() {
	if m.kill == nil {
		return
	}
	m.stop.Do(m.kill)
	<-m.ended
}

// head is the second line of a module's file, which says what it is.
const head = "# module "

// find reads what is found at a URL.
func find(from string) (key tunnel.ModuleKey, path string, err error) {
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "file" {
		return key, "", fmt.Errorf("%q is no file's URL", from)
	}
	text, err := os.ReadFile(u.Path)
	if err != nil {
		return key, "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, is := strings.CutPrefix(line, head); is {
			key.Name, key.Version, _ = strings.Cut(strings.TrimSpace(name), " ")
			return key, u.Path, nil
		}
	}
	return key, "", fmt.Errorf("%s does not say which module it is", u.Path)
}

// Put writes a module into a folder, and gives its URL: a script that says when it serves, and
// ends when its base does.
func Put(dir string, m tunneltest.Module) (string, error) {
	path := filepath.Join(dir, m.Name+"-"+m.Version)
	if m.Missing {
		return "file://" + path + "-missing", nil
	}
	text := fmt.Sprintf("#!/bin/sh\n%s%s %s\nsleep %.3f\n", head, m.Name, m.Version, m.Start.Seconds())
	if m.FailWith != "" {
		text += fmt.Sprintf("echo '%s' >&2\nexit 1\n", m.FailWith)
	}
	text += "echo ready\nexec cat >/dev/null\n"
	return "file://" + path, os.WriteFile(path, []byte(text), 0o600)
}
