package processes

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// Base is a base that runs modules as processes of the operating system. Its methods may be
// called from any goroutine.
type Base struct {
	id      tunnel.BaseID
	options tunneltest.Options
	key     []byte

	mu sync.Mutex
	// mu guards what follows
	process *process // nil once it was stopped
	fault   tunneltest.Fault
	seen    tunneltest.Seen
	speak   map[*speaker]bool // its connections
}

// process is one run of a base.
type process struct {
	id    string
	begun time.Time
	ctx   context.Context //nolint:containedctx // ends when the process does
	end   context.CancelFunc

	// Base.mu guards what follows.
	modules []*module
	busy    map[string]bool // module names with a command under way
	tickets map[string]bool // that were taken
	work    sync.WaitGroup  // modules that run; none is added once the process has ended
}

// NewBase makes a base whose process has just started. fleet is the key of the fleet: in a
// product the base is provisioned with its own.
func NewBase(fleet []byte, env string, o tunneltest.Options) *Base {
	b := &Base{id: tunnel.BaseID{Env: env, Identity: o.Identity}, options: o, speak: map[*speaker]bool{}}
	b.key = KeyOf(fleet, env, cmp.Or(o.With, o.Identity))
	b.seen = tunneltest.Seen{IP: address, Installs: map[tunnel.ModuleKey]int{}, Uninstalls: map[tunnel.ModuleKey]int{}}
	b.Restart()
	return b
}

// ID implements tunneltest.Base.
func (b *Base) ID() tunnel.BaseID { return b.id }

// Seen implements tunneltest.Base.
func (b *Base) Seen() tunneltest.Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.seen
	seen.Installs, seen.Uninstalls, seen.Commands = maps.Clone(seen.Installs), maps.Clone(seen.Uninstalls), slices.Clone(seen.Commands)
	return seen
}

// Suffer implements tunneltest.Base.
func (b *Base) Suffer(f tunneltest.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = f
}

// Install implements tunneltest.Base.
func (b *Base) Install(ctx context.Context, m tunnel.ModuleKey, url string) {
	if p := b.running(); p != nil {
		b.do(ctx, p, order{Do: "start", Name: m.Name, Version: m.Version, From: url})
	}
}

// Restart implements tunneltest.Base.
func (b *Base) Restart() {
	b.Stop()
	p := &process{id: rand.Text(), begun: time.Now(), busy: map[string]bool{}, tickets: map[string]bool{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process, b.fault = p, tunneltest.Fault{}
}

// Stop implements tunneltest.Base. It ends the base's modules too, and returns when they have
// ended.
func (b *Base) Stop() {
	b.mu.Lock()
	p := b.process
	b.process = nil
	if p != nil {
		p.end()
	}
	b.mu.Unlock()
	if p != nil {
		p.work.Wait()
	}
}

// Babble implements tunneltest.Base.
func (b *Base) Babble(text []byte) {
	b.mu.Lock()
	all := slices.Collect(maps.Keys(b.speak))
	b.mu.Unlock()
	for _, s := range all {
		_ = s.write(text) // a connection may have ended of the one before
	}
}

func (b *Base) running() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.process
}

// now is the base's own clock, in milliseconds.
func (b *Base) now() int64 { return time.Now().Add(b.options.Clock).UnixMilli() }

// do does what is asked, and gives the answer.
func (b *Base) do(ctx context.Context, p *process, o order) line {
	key := tunnel.ModuleKey{Name: o.Name, Version: o.Version}
	switch o.Do {
	case "list":
		return line{Running: b.list(p)}
	case "measure":
		return line{Load: b.load(p)}
	case "start":
		return b.start(ctx, p, o)
	case "stop":
		return b.once(p, o.Name, func() line { return b.stop(p, key) })
	case "promote":
		return b.once(p, o.Name, func() line { return b.promote(p, key) })
	}
	return line{Result: "failed", Text: "there is no such order"}
}

// once does something with a module, unless that is being done.
func (b *Base) once(p *process, name string, do func() line) line {
	b.mu.Lock()
	if p.busy[name] {
		b.mu.Unlock()
		return line{Result: "busy", Text: "another order for " + name + " is under way"}
	}
	p.busy[name] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(p.busy, name)
		b.mu.Unlock()
	}()
	return do()
}

// start starts what is found at a URL: it decides what it is.
func (b *Base) start(ctx context.Context, p *process, o order) line {
	if !b.takes(p, o.Ticket) {
		return line{Result: "busy", Text: "ticket " + o.Ticket + " was taken before"}
	}
	key, path, err := find(o.From)
	if err != nil {
		return line{Result: "failed", Text: err.Error()}
	}
	return b.once(p, key.Name, func() line {
		if o.Alone {
			b.stopAll(p, key.Name)
		}
		is := &named{Name: key.Name, Version: key.Version}
		m, err := b.add(p, key)
		switch {
		case err != nil:
			return line{Result: "failed", Text: err.Error()}
		case m == nil:
			return line{Result: "there", Text: key.String() + " is there", Is: is}
		}
		if err := m.run(ctx, p, path, o.Args, o.Env); err != nil {
			b.remove(p, m)
			return line{Result: "failed", Text: err.Error()}
		}
		b.started(p, m)
		return line{Result: "done", Is: is}
	})
}

// takes says whether a ticket is new. None is always.
func (b *Base) takes(p *process, ticket string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := p.tickets[ticket]
	p.tickets[ticket] = ticket != ""
	return !was
}

// add adds a module that starts, which then must run; nil where it is there.
func (b *Base) add(p *process, key tunnel.ModuleKey) (*module, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case p.ctx.Err() != nil:
		return nil, errEnded
	case p.find(key) != nil:
		return nil, nil
	}
	p.work.Add(1)
	m := &module{key: key, state: "starting", since: b.now(), ended: make(chan struct{})}
	p.modules = append(p.modules, m)
	return m, nil
}

func (p *process) find(key tunnel.ModuleKey) *module {
	i := slices.IndexFunc(p.modules, func(m *module) bool { return m.key == key })
	if i < 0 {
		return nil
	}
	return p.modules[i]
}

func (b *Base) remove(p *process, gone *module) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.modules = slices.DeleteFunc(p.modules, func(m *module) bool { return m == gone })
}

// started has a module serve, unless another version does.
func (b *Base) started(p *process, m *module) {
	b.mu.Lock()
	defer b.mu.Unlock()
	serves := slices.ContainsFunc(p.modules, func(o *module) bool { return o.key.Name == m.key.Name && o.state == "serving" })
	m.turn(map[bool]string{true: "waiting", false: "serving"}[serves], b.now())
	b.seen.Installs[m.key]++
}

func (b *Base) stop(p *process, key tunnel.ModuleKey) line {
	b.mu.Lock()
	m := p.find(key)
	b.mu.Unlock()
	if m == nil {
		return line{Result: "absent", Text: key.String() + " is not there"}
	}
	m.end()
	b.remove(p, m)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.Uninstalls[key]++
	return line{Result: "done"}
}

// stopAll stops every version of a module.
func (b *Base) stopAll(p *process, name string) {
	b.mu.Lock()
	all := slices.Clone(p.modules)
	b.mu.Unlock()
	for _, m := range all {
		if m.key.Name == name {
			m.end()
			b.remove(p, m)
		}
	}
}

// promote has a version serve, and the others wait.
func (b *Base) promote(p *process, key tunnel.ModuleKey) line {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := p.find(key)
	if m == nil {
		return line{Result: "absent", Text: key.String() + " is not there"}
	}
	for _, o := range p.modules {
		if o.key.Name == key.Name && o.state == "serving" {
			o.turn("waiting", b.now())
		}
	}
	m.turn("serving", b.now())
	return line{Result: "done"}
}

// list gives what is there. A module whose process has ended by itself is not.
func (b *Base) list(p *process) *[]named {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []named{}
	for _, m := range p.modules {
		if m.state == "starting" || m.lives() {
			all = append(all, named{Name: m.key.Name, Version: m.key.Version, State: m.state, Since: m.since})
		}
	}
	return &all
}

var errEnded = errors.New("the base's process has ended")

func gotOf(o order) tunneltest.Got {
	return tunneltest.Got{Verb: o.Do, Module: tunnel.ModuleKey{Name: o.Name, Version: o.Version}, Args: o.Args, Env: o.Env}
}
