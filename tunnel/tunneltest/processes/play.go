package processes

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Fleet has bases speak to replicas.
type Fleet struct {
	// Addresses are those of the replicas' tunnels: a base connects to each.
	Addresses []string
	Bases     []*Base
	// Heartbeat is how often each announces itself.
	Heartbeat time.Duration
}

// Run plays until ctx ends, which ends the bases' processes too.
func (f *Fleet) Run(ctx context.Context) {
	var work sync.WaitGroup
	for _, b := range f.Bases {
		for _, address := range f.Addresses {
			work.Go(func() {
				for ctx.Err() == nil {
					b.connect(ctx, address, f.Heartbeat)
					pause(ctx, 20*time.Millisecond)
				}
			})
		}
	}
	<-ctx.Done()
	for _, b := range f.Bases {
		b.Stop() // what is under way ends with it
	}
	work.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// speaker is a base's connection to a replica.
type speaker struct {
	conn net.Conn
	mu   sync.Mutex // one line at a time
}

func (s *speaker) write(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err := s.conn.Write(append(slices.Clip(text), '\n'))
	return err
}

func (s *speaker) say(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return s.write(text)
}

// connect connects to a replica once, and speaks with it until the connection, the base's
// process or ctx ends.
func (b *Base) connect(ctx context.Context, address string, every time.Duration) {
	p := b.running()
	if p == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // it ends with either
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	s, in := &speaker{conn: conn}, bufio.NewReaderSize(conn, maxLine)
	var asks struct{ Challenge string }
	if read(in, &asks) != nil || s.say(b.first(p, asks.Challenge)) != nil {
		return
	}
	b.announced()
	b.note(s, true)
	defer b.note(s, false)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		defer cancel()
		b.announce(ctx, p, s, every)
	})
	b.obey(ctx, p, s, in, &work)
}

func (b *Base) note(s *speaker, speaks bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if speaks {
		b.speak[s] = true
	} else {
		delete(b.speak, s)
	}
}

// hello is what the base says of itself, with a proof where it is challenged.
func (b *Base) hello(p *process, challenge string) line {
	h := &hello{Env: b.id.Env, Identity: b.id.Identity, Name: b.options.Name, Version: b.options.Version, Cluster: b.options.Cluster, IP: address, Hostname: address, Process: p.id}
	if challenge != "" {
		h.Proof = proofOf(b.key, challenge)
	}
	return line{Clock: b.now(), Hello: h}
}

// address is that of all bases.
const address = "127.0.0.1"

// first is the first hello. Who has what proves that he is another may admit that here, and be
// somebody else in the hellos behind it.
func (b *Base) first(p *process, challenge string) line {
	l := b.hello(p, challenge)
	if b.options.Otherwise {
		l.Hello.Identity = b.options.With
	}
	return l
}

// announced counts a hello.
func (b *Base) announced() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.Announced++
}

// announce says again and again that the base lives.
func (b *Base) announce(ctx context.Context, p *process, s *speaker, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		quiet := b.fault.NoHeartbeat
		b.mu.Unlock()
		if quiet {
			continue
		}
		if s.say(b.hello(p, "")) != nil {
			return
		}
		b.announced()
	}
}

// obey reads orders, and does each beside the others.
func (b *Base) obey(ctx context.Context, p *process, s *speaker, in *bufio.Reader, work *sync.WaitGroup) {
	for {
		var o order
		if read(in, &o) != nil {
			return
		}
		slow := b.got(o)
		work.Go(func() {
			if pause(ctx, slow); ctx.Err() != nil {
				return
			}
			answer := b.do(p.ctx, p, o) //nolint:contextcheck // it is done, whoever hears of it
			answer.Clock, answer.Number = b.now(), o.Number
			b.mu.Lock()
			mute := b.fault.Mute
			b.mu.Unlock()
			if !mute {
				_ = s.say(answer)
			}
		})
	}
}

// got notes an order, and gives how long it is to be delayed.
func (b *Base) got(o order) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.Do == "list" || o.Do == "measure" {
		b.seen.Questions++
	} else {
		b.seen.Commands = append(b.seen.Commands, gotOf(o))
	}
	return b.fault.Slow
}

func (b *Base) load(p *process) *load {
	return &load{Memory: -1, Limit: -1, CPUs: runtime.NumCPU(), Up: time.Since(p.begun)}
}
