package basetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A TestBroker can be stopped and started again at its address.
type TestBroker interface {
	Address() string
	Start() error
	Stop() error
}

// Brokers makes one of each kind of broker that there is on this machine, running on
// free ports of 127.0.0.1: the embedded one, and Mosquitto where it is installed.
// Stop them. dir is for their files.
func Brokers(dir string) (map[string]TestBroker, error) {
	embedded, err := StartBroker("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	all := map[string]TestBroker{"embedded": embedded}
	m, ok := NewMosquitto(dir)
	if !ok {
		return all, nil
	}
	all["mosquitto"] = m
	return all, m.Start()
}

// NewMosquitto makes one that is not started, where it is installed. dir is for its
// files.
func NewMosquitto(dir string) (m *Mosquitto, installed bool) {
	path, err := exec.LookPath("mosquitto")
	if err != nil { // not everybody's PATH leads there
		path, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	return &Mosquitto{path: path, dir: dir}, err == nil
}

// Configure has it start with a configuration, in which it listens at an address.
func (m *Mosquitto) Configure(address, text string) { m.address, m.text = address, text }

// Mosquitto is a broker in a process of its own.
type Mosquitto struct {
	path, dir, address string
	text               string // its configuration; empty: it admits everybody
	cmd                *exec.Cmd
}

// Address is where the broker listens, host:port.
func (m *Mosquitto) Address() string { return m.address }

// Start starts the broker, on a free port the first time, and returns when it takes
// connections.
func (m *Mosquitto) Start() error {
	if m.address == "" {
		address, err := FreeAddress("127.0.0.1")
		if err != nil {
			return err
		}
		m.address = address
	}
	_, port, _ := net.SplitHostPort(m.address)
	config := filepath.Join(m.dir, "mosquitto.conf")
	text := m.text
	if text == "" {
		text = "listener " + port + " 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configure mosquitto: %w", err)
	}
	m.cmd = exec.Command(m.path, "-c", config) //nolint:noctx // Stop ends it
	if err := m.cmd.Start(); err != nil {
		return fmt.Errorf("start mosquitto: %w", err)
	}
	return m.await()
}

func (m *Mosquitto) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.address)
		if err == nil {
			return conn.Close()
		}
		if !pause(ctx, 20*time.Millisecond) {
			return errors.Join(fmt.Errorf("await mosquitto: %w", err), m.Stop())
		}
	}
}

// Reload has the broker read its files of passwords and ACLs again, soon.
func (m *Mosquitto) Reload() error {
	if m.cmd == nil {
		return nil
	}
	if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload mosquitto: %w", err)
	}
	return nil
}

// Stop ends the broker.
func (m *Mosquitto) Stop() error {
	if m.cmd == nil {
		return nil
	}
	cmd := m.cmd
	m.cmd = nil
	if err := cmd.Process.Kill(); err != nil { // it has nothing to save, and may ignore a signal before it serves
		return fmt.Errorf("stop mosquitto: %w", err)
	}
	var killed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &killed) {
		return fmt.Errorf("stop mosquitto: %w", err)
	}
	return nil
}
