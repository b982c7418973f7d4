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
		r = p.uninstall(c)
	default:
		return p.switchTo(c)
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
	m, done := p.admit(c)
	if done != nil {
		return *done
	}
	fault := ""
	if b.use(func(f *Faults) *int { return &f.FailInstalls }) {
		fault = cmp.Or(b.Faults().FailWith, "told to fail")
	}
	began := time.Now()
	if !pause(ctx, cmp.Or(m.jar.Start, b.options.Start)) {
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

// admit clears the way for an install and registers the module, or gives the result
// if it has ended already.
func (p *process) admit(c Command) (*Module, *result) {
	b := p.base
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, &result{lost: true}
	}
	if c.Strategy == replaceStrategy && b.runtime.strategy {
		if why := p.modules.removeAll(c.Name); why != nil {
			r := throw(wrap(arkletRuntime, why))
			return nil, &r
		}
	}
	jar, why := b.options.Jars.open(c.URL)
	if why != nil {
		r := throw(wrap(arkletRuntime, why))
		return nil, &r
	}
	return p.modules.register(c, jar, b.now())
}

// pretend answers an install that did nothing.
func (b *Base) pretend(c Command) result {
	jar := b.options.Jars.find(c.URL)
	m := Module{Name: jar.Name, Version: jar.Version, jar: jar, dir: "/tmp/ark/unpack"}
	m.set(time.Now(), activated, "Started", "")
	return result{ok: true, op: &operation{code: "SUCCESS", space: true, modules: []Module{m},
		text: fmt.Sprintf("Install Biz: %s success, cost: 100 ms, started at: 12:00:00,000", m.key())}}
}

// uninstall does an uninstallBiz.
func (p *process) uninstall(c Command) result {
	b := p.base
	b.mu.Lock()
	defer b.mu.Unlock()
	m := p.modules.find(c.Name, c.Version)
	switch {
	case p.ctx.Err() != nil:
		return result{lost: true}
	case c.Name == masterName && c.Version == "1.0.0":
		return result{message: "uninstall biz not success!", op: &operation{code: "FAILED", text: "Master biz must not be uninstalled."}}
	case m == nil:
		return result{message: "uninstall biz not success!", op: &operation{
			code: "NOT_FOUND_BIZ", text: fmt.Sprintf("Uninstall biz: %s not found.", c.key()),
		}}
	case m.State == resolved:
		return throw(wrap(arkletRuntime, notStoppable()))
	}
	p.modules.remove(m)
	b.log.uninstalls[m.key()]++
	p.modules.note()
	if m.jar.Plain && b.runtime.plain != "" {
		null := &exception{class: "java.lang.NullPointerException", message: b.runtime.plain}
		return throw(wrap(arkletRuntime, wrap(bizRuntime, null)))
	}
	return result{ok: true, op: &operation{code: "SUCCESS", text: fmt.Sprintf("Uninstall biz: %s success.", m.key())}}
}

// switchTo does a switchBiz.
func (p *process) switchTo(c Command) result {
	b := p.base
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
