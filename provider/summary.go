package provider

import (
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// summary is what the last look at a base found, for gauges.
type summary struct {
	owned              bool
	ready              bool
	modules, strangers int
}

func (b *base) summarize(out plan.Output) {
	s := summary{owned: true, ready: b.notReady == "", strangers: len(out.Unmanaged)}
	for _, m := range b.modules {
		if m.State == tunnel.Activated {
			s.modules++
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.summary = s
}

// unsummarize says that the base is not this replica's.
func (b *base) unsummarize() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.summary = summary{}
}

func (b *base) lastSummary() summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.summary
}
