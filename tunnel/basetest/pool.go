package basetest

import "sync"

// pool is a Java thread pool: a task gets a thread while there are fewer than core,
// else it is queued, and only when limit tasks wait are there up to most threads. It
// has no goroutine while nothing runs.
type pool struct {
	core, most, limit int

	mu sync.Mutex
	// mu guards what follows
	running int
	queue   []func()
}

// submit has a task done, by goroutines that it starts with spawn. False: it was
// refused, because the queue is full and all threads work.
func (p *pool) submit(spawn func(func()), task func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.running < p.core, len(p.queue) >= p.limit && p.running < p.most:
		p.running++
		spawn(func() { p.work(task) })
	case len(p.queue) < p.limit:
		p.queue = append(p.queue, task)
	default:
		return false
	}
	return true
}

func (p *pool) work(task func()) {
	for task != nil {
		task()
		task = p.next()
	}
}

func (p *pool) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.running--
		return nil
	}
	task := p.queue[0]
	p.queue = p.queue[1:]
	return task
}
