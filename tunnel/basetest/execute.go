package basetest

import (
	"context"
	"slices"
)

// descriptions are the commands of bases, in the order in which help lists them.
var descriptions = []struct{ id, desc string }{
	{health, "get all health info"},
	{queryAllBiz, "query all ark biz(including master biz)"},
	{help, "list all supported commands"},
	{uninstallBiz, "uninstall one ark biz"},
	{switchBiz, "switch one ark biz"},
	{installBiz, "install one ark biz"},
	{queryBizOps, "query ark biz ops"},
	{batchInstallBiz, "batch install ark biz"},
}

// has reports whether a runtime has a command.
func (r runtime) has(command string) bool {
	if command == batchInstallBiz && !r.batch {
		return false
	}
	return slices.ContainsFunc(descriptions, func(d struct{ id, desc string }) bool { return d.id == command })
}

// execute does what a command over HTTP asks for, and gives the answer; nil: there is
// none.
func (p *process) execute(ctx context.Context, command string, c Command, later later) object {
	b := p.base
	switch {
	case !b.runtime.has(command):
		return object{"code": "CMD_NOT_FOUND", "message": "please follow the doc"}
	case command == health:
		return b.answer(object{"code": "SUCCESS", "data": b.healthData(b.runtime.spell)})
	case command == queryAllBiz:
		return b.answer(object{"code": "SUCCESS", "data": b.list()})
	case command == help:
		return b.answer(object{"code": "SUCCESS", "data": b.runtime.help()})
	case command == queryBizOps:
		return p.progress(c)
	case command == batchInstallBiz:
		o, ok := p.batch(ctx, c.List, b.write)
		if !ok {
			return nil
		}
		return o
	case c.Async:
		return p.begin(command, c, later)
	}
	r := p.do(ctx, command, c)
	if r.lost {
		return nil
	}
	return b.write(r)
}

func (r runtime) help() []any {
	list := []any{}
	for _, d := range descriptions {
		if r.has(d.id) {
			list = append(list, object{"id": d.id, "desc": d.desc})
		}
	}
	return list
}

// progress reports how an asynchronous command goes.
func (p *process) progress(c Command) object {
	b := p.base
	if c.RequestID == "" {
		return b.write(throw(invalid("requestId is blank")))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o := p.requests[c.RequestID]
	if o == nil {
		return b.answer(object{"code": "FAILED", "message": "Not found the corresponding ops record."})
	}
	return b.answer(object{"code": "SUCCESS", "data": o.object(b.runtime)})
}
