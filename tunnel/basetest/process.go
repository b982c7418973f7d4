package basetest

import (
	"context"
	"time"
)

// process is one run of a JVM: what is lost when it ends.
type process struct {
	base   *Base
	number int             // which process of the base
	ctx    context.Context //nolint:containedctx // ends when the process does
	end    context.CancelFunc
	begun  time.Time

	// Base.mu guards what follows.
	modules  modules
	running  map[string]string // module keys with a command under way, and which
	requests map[string]*ops
	// heartDead: a heartbeat could not be published, and none ever will be.
	heartDead bool
	loop      int // which event loop serves the next connection
	// released is closed when starts that hang end; another takes its place.
	released chan struct{}

	commands *pool // commands over MQTT
	async    *pool // asynchronous commands
	loops    [eventLoops]chan struct{}
}

// eventLoops is how many a base of two processors has.
const eventLoops = 4

func newProcess(b *Base, number int) *process {
	p := &process{
		base: b, number: number, begun: time.Now(), running: map[string]string{}, requests: map[string]*ops{}, released: make(chan struct{}),
		modules:  modules{options: &b.options, log: &b.log, ports: &b.ports, process: number},
		commands: &pool{core: 5, most: 10, limit: 100}, async: &pool{core: 20, most: 50, limit: 100},
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	for i := range p.loops {
		p.loops[i] = make(chan struct{}, 1)
	}
	return p
}

// join gives a context that ends with ctx or with the process.
func (p *process) join(ctx context.Context) (context.Context, func()) {
	joined, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, cancel)
	return joined, func() { stop(); cancel() }
}
