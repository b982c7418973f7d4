package basetest

import "context"

// batch installs a list of modules. One URL that cannot be read fails it whole, and
// the answer names no module. False: there is no answer.
func (p *process) batch(ctx context.Context, list []Command, write func(result) object) (object, bool) {
	for _, c := range list {
		if _, why := p.base.options.Jars.open(c.URL); why != nil {
			return write(throw(wrap(arkletRuntime, why))), true
		}
	}
	byURL, code, text := object{}, "SUCCESS", "batch install success"
	for _, c := range list {
		r := p.do(ctx, installBiz, c)
		if r.lost {
			return nil, false
		}
		if !r.ok {
			code, text = "FAILED", "batch install failed"
		}
		byURL[c.URL] = batchEntry(r, write)
	}
	return object{"code": code, "data": object{
		"code": code, "message": text, "elapsedSpace": 31016, "bizUrlToResponse": byURL,
	}}, true
}

func batchEntry(r result, write func(result) object) any {
	switch o := write(r); {
	case r.op != nil:
		return o["data"]
	default:
		return object{"code": "FAILED", "message": r.message}
	}
}
