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

// has says whether the base's runtime has a command.
func (b *Base) has(command string) bool {
	if command == batchInstallBiz && !b.runtime.batch {
		return false
	}
	return slices.ContainsFunc(descriptions, func(d struct{ id, desc string }) bool { return d.id == command })
}

// execute does what a command over HTTP asks for, and gives the answer; nil: there is
// none.
func (b *Base) execute(ctx context.Context, p *process, command string, c Command, later later) object {
	switch {
	case !b.has(command):
		return object{"code": "CMD_NOT_FOUND", "message": "please follow the doc"}
	case command == health:
		return b.answer(object{"code": "SUCCESS", "data": b.healthData(b.runtime.spell)})
	case command == queryAllBiz:
		return b.answer(object{"code": "SUCCESS", "data": b.list()})
	case command == help:
		return b.answer(object{"code": "SUCCESS", "data": b.help()})
	case command == queryBizOps:
		return b.progress(p, c)
	case command == batchInstallBiz:
		o, ok := b.batch(ctx, p, c.List, b.write)
		if !ok {
			return nil
		}
		return o
	case c.Async:
		return b.begin(p, command, c, later)
	}
	r := b.do(ctx, p, command, c)
	if r.lost {
		return nil
	}
	return b.write(r)
}

func (b *Base) help() []any {
	list := []any{}
	for _, d := range descriptions {
		if b.has(d.id) {
			list = append(list, object{"id": d.id, "desc": d.desc})
		}
	}
	return list
}

// progress tells how an asynchronous command goes.
func (b *Base) progress(p *process, c Command) object {
	if c.RequestID == "" {
		return b.write(throw(invalid("requestId is blank")))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o := p.requests[c.RequestID]
	if o == nil {
		return b.answer(object{"code": "FAILED", "message": "Not found the corresponding ops record."})
	}
	return b.answer(object{"code": "SUCCESS", "data": b.record(o)})
}
