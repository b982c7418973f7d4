package provider

import (
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// summary is what the last look at a base found, for gauges.
type summary struct {
	ready              bool
	modules, strangers int
}

func (b *base) summarize(out plan.Output) {
	s := summary{ready: b.notReady == "", strangers: len(out.Strangers)}
	for _, m := range b.modules {
		if m.State == tunnel.Activated {
			s.modules++
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.summary = s
}

func (b *base) lastSummary() summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.summary
}
