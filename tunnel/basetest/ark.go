package basetest

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// result is what came of a command, before a tunnel writes it in its own way.
type result struct {
	ok      bool
	message string
	op      *operation // nil: there is no data
	thrown  *exception
	lost    bool // the process ended: there is no answer
}

// operation is the data of a result.
type operation struct {
	code, text string
	modules    []Module
	space      bool // elapsedSpace is reported
}

// throw is the result of a command that ended in an exception.
func throw(e *exception) result { return result{message: e.message, thrown: e} }

// handle does a command that changes something, once nothing else is done to its
// module.
func (p *process) handle(ctx context.Context, command string, c Command) (r result) {
	switch command {
	case installBiz:
		r = p.install(ctx, c)
	case uninstallBiz:
		r = p.uninstall(ctx, c)
	default:
		return p.switchTo(ctx, c)
	}
	if r.ok && !r.lost && p.base.use(func(f *Faults) *int { return &f.ErrorWithEffect }) {
		return throw(wrap(arkletRuntime, parse("told to answer an error")))
	}
	return r
}

// install does an installBiz, for as long as the module starts.
func (p *process) install(ctx context.Context, c Command) result {
	b := p.base
	if b.use(func(f *Faults) *int { return &f.WithoutEffect }) {
		return b.pretend(c)
	}
	began := time.Now()
	m, done := p.admit(ctx, c)
	if done != nil {
		return *done
	}
	fault := ""
	if b.use(func(f *Faults) *int { return &f.FailInstalls }) {
		fault = cmp.Or(b.Faults().FailWith, "told to fail")
	}
	if !p.start(ctx, m.jar) {
		return result{lost: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.ctx.Err() != nil {
		return result{lost: true}
	}
	p.modules.leaked += b.options.Leak
	if why := p.modules.failure(m, fault); why != nil {
		p.modules.failed(m, why, b.now())
		return throw(wrap(arkletRuntime, &exception{class: invocationTarget, cause: why}))
	}
	p.modules.started(m, b.now())
	return result{ok: true, op: &operation{code: "SUCCESS", space: true, modules: []Module{m.copy()},
		text: fmt.Sprintf("Install Biz: %s success, cost: %d ms, started at: %s", m.key(), time.Since(began).Milliseconds(),
			began.Format("15:04:05,000"))}}
}

// start lets a module's start take its time; false: the process ended meanwhile.
func (p *process) start(ctx context.Context, jar Jar) bool {
	b := p.base
	if jar.Hangs || b.use(func(f *Faults) *int { return &f.HangStarts }) {
		b.mu.Lock()
		released := p.released
		b.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return false
		}
	}
	return pause(ctx, cmp.Or(jar.Start, b.options.Start))
}

// EndStarts ends the starts that hang now.
func (b *Base) EndStarts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.process.released)
	b.process.released = make(chan struct{})
}

// admit clears the way for an install, fetches the jar and registers the module, or
// gives the result if the install has ended already.
func (p *process) admit(ctx context.Context, c Command) (*Module, *result) {
	b := p.base
	if done := p.makeRoom(c); done != nil {
		return nil, done
	}
	jar, why := b.options.Jars.open(c.URL)
	if !pause(ctx, jar.Download+b.Faults().Download) {
		return nil, &result{lost: true}
	}
	if why != nil {
		r := throw(wrap(arkletRuntime, why))
		return nil, &r
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, &result{lost: true}
	}
	return p.modules.register(c, jar, b.now())
}

// makeRoom removes what an install is to replace, before the jar is looked at.
func (p *process) makeRoom(c Command) *result {
	b := p.base
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case p.ctx.Err() != nil:
		return &result{lost: true}
	case c.Strategy != replaceStrategy, !b.runtime.strategy:
		return nil
	}
	if why := p.modules.removeAll(c.Name); why != nil {
		r := throw(wrap(arkletRuntime, why))
		return &r
	}
	return nil
}

// pretend answers an install that did nothing.
func (b *Base) pretend(c Command) result {
	jar := b.options.Jars.find(c.URL)
	m := Module{Name: jar.Name, Version: jar.Version, jar: jar, dir: "/tmp/ark/unpack"}
	m.set(time.Now(), activated, "Started", "")
	return result{ok: true, op: &operation{code: "SUCCESS", space: true, modules: []Module{m},
		text: fmt.Sprintf("Install Biz: %s success, cost: 100 ms, started at: 12:00:00,000", m.key())}}
}

// uninstall does an uninstallBiz, for as long as the module stops.
func (p *process) uninstall(ctx context.Context, c Command) result {
	b := p.base
	m, done := p.stop(c)
	if done != nil {
		return *done
	}
	if !pause(ctx, b.Faults().SlowUninstalls) {
		return result{lost: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.ctx.Err() != nil {
		return result{lost: true}
	}
	p.modules.remove(m)
	b.log.uninstalls[m.key()]++
	p.modules.note()
	if m.jar.Plain && b.runtime.plain != "" {
		null := &exception{class: "java.lang.NullPointerException", message: b.runtime.plain}
		return throw(wrap(arkletRuntime, wrap(bizRuntime, null)))
	}
	return m.uninstalled()
}

// stop begins to stop a module, or gives the result if the uninstall has ended already.
func (p *process) stop(c Command) (*Module, *result) {
	b := p.base
	b.mu.Lock()
	defer b.mu.Unlock()
	m := p.modules.find(c.Name, c.Version)
	var r result
	switch {
	case p.ctx.Err() != nil:
		r = result{lost: true}
	case c.Name == masterName && c.Version == "1.0.0":
		r = result{message: "uninstall biz not success!", op: &operation{code: "FAILED", text: "Master biz must not be uninstalled."}}
	case m == nil:
		r = result{message: "uninstall biz not success!", op: &operation{
			code: "NOT_FOUND_BIZ", text: fmt.Sprintf("Uninstall biz: %s not found.", c.key()),
		}}
	case m.State == resolved:
		r = throw(wrap(arkletRuntime, notStoppable()))
	case take(&b.faults.FailUninstalls):
		r = m.stays(b.faults.FailUninstallsWith)
	case take(&b.faults.KeepUninstalled):
		r = m.uninstalled()
	default:
		if b.faults.SlowUninstalls > 0 {
			m.set(b.now(), deactivated, "Killing", "")
			p.modules.note()
		}
		return m, nil
	}
	return nil, &r
}

// uninstalled is the result of an uninstall that worked.
func (m *Module) uninstalled() result {
	return result{ok: true, op: &operation{code: "SUCCESS", text: fmt.Sprintf("Uninstall biz: %s success.", m.key())}}
}

// stays is the result of an uninstall that did not.
func (m *Module) stays(thrown string) result {
	if thrown != "" {
		return throw(wrap(arkletRuntime, parse(thrown)))
	}
	return result{message: "uninstall biz not success!", op: &operation{
		code: "FAILED", text: fmt.Sprintf("Uninstall biz: %s failed, java.io.IOException: Unable to delete file: %s/lib/%s.jar", m.key(), m.dir, m.Name),
	}}
}

// switchTo does a switchBiz.
func (p *process) switchTo(ctx context.Context, c Command) result {
	b := p.base
	if !pause(ctx, b.Faults().SlowSwitches) {
		return result{lost: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m := p.modules.find(c.Name, c.Version)
	switch {
	case p.ctx.Err() != nil:
		return result{lost: true}
	case m == nil:
		return result{message: "switch biz not success!", op: &operation{
			code: "NOT_FOUND_BIZ", text: fmt.Sprintf("Switch biz: %s not found.", c.key()),
		}}
	case m.State != activated && m.State != deactivated:
		return result{message: "switch biz not success!", op: &operation{
			code: "ILLEGAL_STATE_BIZ", text: fmt.Sprintf("Switch Biz: %s's state must not be %s.", c.key(), m.State),
		}}
	case m.State == deactivated:
		p.modules.activate(m, b.now())
	}
	return result{ok: true, op: &operation{code: "SUCCESS", text: fmt.Sprintf("Switch biz: %s is activated.", m.key())}}
}

// Install installs a module past any tunnel, as another client might, and returns
// when it has started or failed.
func (b *Base) Install(ctx context.Context, c Command) { b.running().do(ctx, installBiz, c) }

// Uninstall uninstalls a module past any tunnel, and Switch makes one serve.
func (b *Base) Uninstall(ctx context.Context, c Command) { b.running().do(ctx, uninstallBiz, c) }

// Switch makes a version serve past any tunnel.
func (b *Base) Switch(ctx context.Context, c Command) { b.running().do(ctx, switchBiz, c) }
