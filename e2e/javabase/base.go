package javabase

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"module-controller/e2e/process"
)

// Options say how a base runs. Artifacts and Identity are needed, the zero value
// of all others is a default.
type Options struct {
	// Artifacts are what [Build] gave.
	Artifacts Artifacts
	// Identity is what the base calls itself in its heartbeats. A runtime that
	// announces itself takes no notice: its identity is the host's address.
	Identity string
	// Name, Version and Cluster of the base; "base", "1.0.0" and "default".
	Name, Version, Cluster string
	// HeartbeatEndpoint is a URL without its path, such as http://127.0.0.1:7777,
	// to which the base posts /heartbeat. Empty: it announces itself to nobody.
	HeartbeatEndpoint string
	// HeartbeatPeriod is 2 s. A runtime that announces itself has a period of its own.
	HeartbeatPeriod time.Duration
	// ArkletPort is where the base takes commands, StockPort the one that the
	// module stock opens. 0: a free one, the same after every restart.
	ArkletPort, StockPort int
	// MetaspaceLimit in bytes; 0: none, and the base reports -1. Runtime 1.2.2
	// reports neither limit nor use.
	MetaspaceLimit int64
	// MQTT connects the base to a broker; its Runtime must have MQTT.
	MQTT *MQTT
	// Properties are more system properties, such as activate.new.module.
	Properties map[string]string
	// Dir gets the log and the temporary files. Empty: one that Close removes.
	Dir string
}

// MQTT is a broker and how to enter it. The runtime takes no empty user, password
// or prefix. See the NB at [Runtime.MQTT].
type MQTT struct {
	Host                             string
	Port                             int
	Username, Password, ClientPrefix string
}

// A Base is a running JVM, or one that was killed and can be started again.
type Base struct {
	o       Options
	ownDir  bool
	http    *http.Client
	process *process.Process // its current or last run
	took    time.Duration
}

// stopTimeout is how long a base may take to end when it is asked to.
const stopTimeout = 10 * time.Second

// Start starts a base and returns when it answers commands. It does not
// depend on ctx: end it with Close.
func Start(ctx context.Context, o Options) (*Base, error) {
	if o.Artifacts.dir == "" || o.Identity == "" {
		return nil, errors.New("start base: artifacts and identity are needed")
	}
	if o.MQTT != nil && !o.Artifacts.Runtime.MQTT {
		return nil, fmt.Errorf("start base %s: runtime %s was built without mqtt", o.Identity, o.Artifacts.Runtime)
	}
	b := &Base{o: o, ownDir: o.Dir == ""}
	b.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := b.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("start base %s: %w", o.Identity, err), b.Close())
	}
	if err := b.Restart(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// prepare chooses what the options left open, for all runs of the base.
func (b *Base) prepare() (err error) {
	if b.ownDir {
		if b.o.Dir, err = os.MkdirTemp("", "javabase-"); err != nil {
			return err
		}
	}
	for _, port := range []*int{&b.o.ArkletPort, &b.o.StockPort} {
		if *port == 0 {
			if *port, err = process.FreePort(); err != nil {
				return err
			}
		}
	}
	return os.MkdirAll(filepath.Join(b.o.Dir, "tmp"), 0o755)
}

// Restart starts a base that has ended, with the identity and on the ports it had,
// and returns when it answers commands. It has no modules then. It fails if the
// base still runs; a base that does not come up is ended.
func (b *Base) Restart(ctx context.Context) error {
	if b.process != nil && !b.process.Ended() {
		return fmt.Errorf("restart base %s: it still runs", b.o.Identity)
	}
	cmd := exec.Command(javaTool("java"), args(b.o)...) // it outlives ctx
	cmd.Dir = b.o.Dir
	began := time.Now()
	p, err := process.Start(cmd, b.Log())
	if err != nil {
		return fmt.Errorf("start base %s: %w", b.o.Identity, err)
	}
	b.process = p
	if err := b.wait(ctx); err != nil {
		err = fmt.Errorf("start base %s: %w; the end of its log:\n%s", b.o.Identity, err, b.tail(4096))
		return errors.Join(err, b.Kill())
	}
	b.took = time.Since(began)
	return nil
}

// wait returns when the base answers, or why it never will.
func (b *Base) wait(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := b.Command(ctx, "queryAllBiz", nil); err == nil {
				return nil
			}
		case <-b.process.Done():
			return errors.Join(errors.New("the process ended"), b.process.Err())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Kill ends the base as SIGKILL does, and returns when it has ended.
func (b *Base) Kill() error {
	if b.process == nil {
		return nil
	}
	return b.process.Kill()
}

// Stop ends the base as SIGTERM does, and returns when it has ended. A base that
// takes longer than 10 s is killed, which is an error.
func (b *Base) Stop() error {
	if b.process == nil {
		return nil
	}
	return b.process.Stop(stopTimeout)
}

// Close kills the base and removes its directory, unless the options named one.
func (b *Base) Close() error {
	err := b.Kill()
	if b.ownDir && b.o.Dir != "" {
		err = errors.Join(err, os.RemoveAll(b.o.Dir))
	}
	return err
}

// URL is where the base takes commands.
func (b *Base) URL() string { return "http://127.0.0.1:" + strconv.Itoa(b.o.ArkletPort) }

// ArkletPort is the port in URL, StockPort the one of the module stock.
func (b *Base) ArkletPort() int { return b.o.ArkletPort }

// StockPort is the port that the module stock opens.
func (b *Base) StockPort() int { return b.o.StockPort }

// PID is the process of the current or last run.
func (b *Base) PID() int { return b.process.PID() }

// Took is how long the current or last run needed until it answered.
func (b *Base) Took() time.Duration { return b.took }

// Log is the file that has the output of all the base's runs.
func (b *Base) Log() string { return filepath.Join(b.o.Dir, "base.log") }

// tail is the end of the log, at most n bytes of it.
func (b *Base) tail(n int) []byte {
	out, err := os.ReadFile(b.Log())
	if err != nil {
		return []byte(err.Error())
	}
	return slices.Clone(out[max(0, len(out)-n):])
}
