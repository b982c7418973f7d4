package basetest

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// The commands of bases.
const (
	installBiz      = "installBiz"
	uninstallBiz    = "uninstallBiz"
	switchBiz       = "switchBiz"
	queryAllBiz     = "queryAllBiz"
	queryBizOps     = "queryBizOps"
	batchInstallBiz = "batchInstallBiz"
	health          = "health"
	help            = "help"

	replaceStrategy = "uninstallThenInstall"
)

func changes(command string) bool {
	switch command {
	case installBiz, uninstallBiz, switchBiz, batchInstallBiz, "base/baseline":
		return true
	}
	return false
}

// Command is what a base is asked over either tunnel.
type Command struct {
	Name      string            `json:"bizName,omitempty"`
	Version   string            `json:"bizVersion,omitempty"`
	URL       string            `json:"bizUrl,omitempty"`
	Strategy  string            `json:"installStrategy,omitempty"`
	Args      []string          `json:"args,omitempty"`
	Env       map[string]string `json:"envs,omitempty"`
	Async     bool              `json:"async,omitempty"`
	RequestID string            `json:"requestId,omitempty"`
	List      []Command         `json:"bizList,omitempty"` // batchInstallBiz
}

func (c Command) key() string { return c.Name + ":" + c.Version }

// check refuses a command that lacks something, and takes name and version from the
// jar where it has neither.
func (p *process) check(command string, c *Command) *exception {
	if command != installBiz {
		switch {
		case c.Name == "":
			return invalid("bizName should not be blank")
		case c.Version == "":
			return invalid("bizVersion should not be blank")
		case c.Async && c.RequestID == "":
			return invalid("requestId should not be blank when async is true")
		}
		return nil
	}
	switch {
	case c.Async && c.RequestID == "":
		return invalid("requestId should not be blank when async is true")
	case c.URL == "":
		return invalid("bizUrl should not be blank")
	case c.Name == "" && c.Version == "":
		jar, why := p.base.options.Jars.open(c.URL)
		if why != nil {
			return invalid("refresh biz info from jar failed: " + why.message)
		}
		c.Name, c.Version = jar.Name, jar.Version
	case c.Name == "" || c.Version == "":
		return invalid("bizName and bizVersion should be both blank or both not blank.")
	}
	return nil
}

// do does a command that changes something and is not asynchronous. One at a time is
// done for what the command calls the module, whatever the jar calls it.
func (p *process) do(ctx context.Context, command string, c Command) result {
	if why := p.check(command, &c); why != nil {
		return throw(why)
	}
	if other, free := p.lock(c.key(), command); !free {
		return result{message: fmt.Sprintf("FAILED:%s %s conflict, exist unfinished command(%s) for this biz", c.key(), command, other)}
	}
	defer p.unlock(c.key())
	return p.handle(ctx, command, c)
}

// lock marks a command as running for a module, or gives the one that runs.
func (p *process) lock(key, command string) (other string, free bool) {
	p.base.mu.Lock()
	defer p.base.mu.Unlock()
	if other, busy := p.running[key]; busy {
		return other, false
	}
	p.running[key] = command
	return "", true
}

func (p *process) unlock(key string) {
	p.base.mu.Lock()
	defer p.base.mu.Unlock()
	delete(p.running, key)
}

// ops is the record of an asynchronous command.
type ops struct {
	command        Command
	status, text   string
	thrown         *exception
	thread         string
	started, ended time.Time
}

// later has an asynchronous command done, with a context that ends with the process.
type later = func(task func(context.Context))

// begin takes an asynchronous command in; the answer is how it goes.
func (p *process) begin(command string, c Command, later later) object {
	b := p.base
	if why := p.check(command, &c); why != nil {
		return b.write(throw(why))
	}
	b.mu.Lock()
	if p.requests[c.RequestID] != nil {
		b.mu.Unlock()
		return b.answer(object{"code": "FAILED", "message": fmt.Sprintf("The request corresponding to the requestId(%s) has been executed.", c.RequestID)})
	}
	o := &ops{command: c, status: "INITIALIZED", started: b.now()}
	p.requests[c.RequestID] = o
	thread := fmt.Sprintf("ARKLET-ark-biz-ops-0-T%d", len(p.requests))
	answer := b.answer(object{"code": "SUCCESS", "data": o.object(b.runtime)})
	b.mu.Unlock()
	later(func(ctx context.Context) { p.run(ctx, command, o, thread) })
	return answer
}

// run does an asynchronous command. One that meets another of its module never leaves
// the status INITIALIZED, and takes the other's lock away: so real ones do.
func (p *process) run(ctx context.Context, command string, o *ops, thread string) {
	b := p.base
	c := o.command
	_, free := p.lock(c.key(), command)
	r := result{message: "command conflict, exist unfinished command for this biz"}
	b.mu.Lock()
	o.thread = thread
	if free {
		o.status = "EXECUTING"
	}
	b.mu.Unlock()
	if free {
		r = p.handle(ctx, command, c)
	}
	p.unlock(c.key())
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.lost {
		return
	}
	o.ended = b.now()
	switch {
	case r.ok:
		o.status = "SUCCEEDED"
	case free:
		o.status = "FAILED"
	}
	if !r.ok {
		o.text, o.thrown = r.message, r.thrown
	}
}

// object writes how an asynchronous command goes.
func (o *ops) object(r runtime) object {
	meta := object{"async": true, "bizName": o.command.Name, "bizVersion": o.command.Version, "requestId": o.command.RequestID}
	if o.command.URL != "" {
		meta["bizUrl"] = o.command.URL
		if r.strategy {
			meta["installStrategy"] = cmp.Or(o.command.Strategy, "installOnly")
		}
	}
	started := o.started.UnixMilli()
	data := object{"arkBizMeta": meta, "requestId": o.command.RequestID, "status": o.status, "startTime": started, "startTimestamp": started,
		"endTimestamp": 0, "elapsedTime": 0}
	if o.thread != "" {
		data["threadName"] = o.thread
	}
	if !o.ended.IsZero() {
		ended := o.ended.UnixMilli()
		data["endTime"], data["endTimestamp"], data["elapsedTime"] = ended, ended, ended-started
	}
	if o.text != "" {
		data["message"] = o.text
	}
	if o.thrown != nil {
		data["throwable"] = o.thrown.object("$.data.throwable")
	}
	return data
}
