package basetest

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

// Options describe a base. The zero value of each field is a usual base's.
type Options struct {
	// Env is its environment; default "default". Identity is what it calls itself;
	// default base-0001.
	Env, Identity string
	// Name, Version and Cluster describe its application.
	Name, Version, Cluster string
	// IP is what it calls its address; default 127.0.0.1.
	IP string
	// At is where it is: it and its modules listen there, and over HTTP it speaks from there.
	// Default its IP.
	At string
	// User is as whom it connects to a broker that has Users; default its identity. Token is the
	// bearer token that it sends over HTTP; default none. A sound base has its own.
	User, Token string
	// Hostname is what it calls its host; default its IP.
	Hostname string
	// Runtime is one of Runtimes; default 2.1.11.
	Runtime string
	// Start is how long a module starts, if its jar does not define it.
	Start time.Duration
	// Heartbeat is its period; default 10 s over MQTT, 12 s over HTTP.
	Heartbeat time.Duration
	// ListenAfter is how long after its first HTTP heartbeat it takes commands.
	ListenAfter time.Duration
	// MaxMetaspace in bytes; -1 for no limit. Default 256 MiB. A module that does not
	// fit fails to start.
	MaxMetaspace int64
	// Leak is what each install costs the metaspace for good, in bytes; default 200 KiB.
	Leak int64
	// ActivateNew makes a new version serve at once, and the old one not. Several lets
	// both serve. By default the new one is deactivated.
	ActivateNew, Several bool
	// KeepFailed leaves a module whose install failed in the list, broken.
	KeepFailed bool
	// Clock is how wrong its clock is.
	Clock time.Duration
	Jars  *Jars
}

// Complete fills in the defaults.
func (o Options) Complete() Options {
	o.Env, o.Identity = cmp.Or(o.Env, "default"), cmp.Or(o.Identity, "base-0001")
	o.Name, o.Version = cmp.Or(o.Name, "TO_BE_IMPLEMENTED"), cmp.Or(o.Version, "1.0.0")
	o.Cluster, o.IP = cmp.Or(o.Cluster, "default"), cmp.Or(o.IP, "127.0.0.1")
	o.Hostname, o.At, o.User = cmp.Or(o.Hostname, o.IP), cmp.Or(o.At, o.IP), cmp.Or(o.User, o.Identity)
	o.Runtime = cmp.Or(o.Runtime, "2.1.11")
	o.MaxMetaspace, o.Leak = cmp.Or(o.MaxMetaspace, 256<<20), cmp.Or(o.Leak, 200<<10)
	if o.Jars == nil {
		o.Jars = &Jars{}
	}
	return o
}

// Validate reports what is wrong with completed options.
func (o Options) Validate() error {
	if _, ok := runtimes[o.Runtime]; !ok {
		return fmt.Errorf("runtime %q is not one of %q", o.Runtime, Runtimes())
	}
	return nil
}

// Base is a fake JVM. Its methods may be called from any goroutine. A fleet plays it;
// without one it sends nothing, but can be inspected and changed.
type Base struct {
	options Options
	runtime runtime

	mu sync.Mutex
	// mu guards what follows
	name, version, cluster string
	clock                  time.Duration
	process                *process
	faults                 Faults
	watcher                func() // called when a process begins or ends, and after Say
	outbox                 []raw  // what Say wants sent
	log                    log
	ports                  ports
}

// New makes a base whose process has just started. It starts no goroutine.
func New(o Options) (*Base, error) {
	o = o.Complete()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("make base %s: %w", o.Identity, err)
	}
	b := &Base{options: o, runtime: runtimes[o.Runtime], name: o.Name, version: o.Version, cluster: o.Cluster, clock: o.Clock, log: newLog()}
	b.ports.base = b
	b.Restart()
	return b, nil
}

// Identity is what the base calls itself, and Env its environment.
func (b *Base) Identity() string { return b.options.Identity }

// Env is the base's environment.
func (b *Base) Env() string { return b.options.Env }

// IP is what the base calls its address.
func (b *Base) IP() string { return b.options.IP }

// Jars are the jars that the base finds.
func (b *Base) Jars() *Jars { return b.options.Jars }

// Restart ends the base's process, if it has one, and starts it again: it has no
// modules then. Commands under way are never answered.
//
// A base whose modules listen has goroutines until its process ends, or the fleet that
// plays it: see Jar.Listens.
func (b *Base) Restart() {
	b.mu.Lock()
	number := 1
	if b.process != nil {
		b.process.end()
		number = b.process.number + 1
	}
	p := newProcess(b, number)
	b.process = p
	b.faults.Stopped, b.faults.NoHeartbeat = false, false
	b.process.modules.note()
	b.mu.Unlock()
	b.changed()
}

// Stop ends the base's process. It sends nothing, as a process that is killed.
func (b *Base) Stop() {
	b.mu.Lock()
	b.process.end()
	b.process.modules.list = nil
	b.faults.Stopped = true
	b.process.modules.note()
	b.mu.Unlock()
	b.changed()
}

// changed notifies the fleet that plays the base.
func (b *Base) changed() {
	b.mu.Lock()
	watcher := b.watcher
	b.mu.Unlock()
	if watcher != nil {
		watcher()
	}
}

func (b *Base) watch(watcher func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watcher = watcher
}

// process is the base's process now.
func (b *Base) running() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.process
}

// SetMetadata has the base describe another application, as when its address was
// taken over. A real one is another process then: see Restart.
func (b *Base) SetMetadata(name, version, cluster string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name, b.version, b.cluster = name, version, cluster
}

// SetClock makes the base's clock wrong by so much.
func (b *Base) SetClock(wrong time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = wrong
}

// now is the base's own clock. The caller holds mu.
func (b *Base) now() time.Time { return time.Now().Add(b.clock) }

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
