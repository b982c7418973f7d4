package processes

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"module-controller/tunnel"
)

const (
	// Name is the tunnel's name on Nodes, Stack that of its bases.
	Name  = "process_tunnel_provider"
	Stack = "process"
	// backlog is how many orders wait for one connection.
	backlog = 64
	// maxConnections are served at a time.
	maxConnections = 1024
)

// Config says how a Tunnel is made.
type Config struct {
	// Listen is the address at which bases connect.
	Listen string
	// Key is that of the fleet: see KeyOf.
	Key []byte
	// Environments are those whose bases are served.
	Environments []string
	// Gate tells whether commands may be sent. Default tunnel.Open.
	Gate tunnel.Gate
}

// Tunnel is the tunnel to bases that run processes.
type Tunnel struct {
	cfg Config

	mu sync.Mutex
	// mu guards what follows
	sink     tunnel.Sink // nil while Run does not run
	followed map[tunnel.BaseID]bool
	conns    map[tunnel.BaseID]*conn  // the newest that proved itself
	process  map[tunnel.BaseID]string // which process spoke last
}

// New makes a tunnel. It starts nothing.
func New(c Config) (*Tunnel, error) {
	if c.Listen == "" || len(c.Key) < 16 || len(c.Environments) == 0 {
		return nil, errors.New("an address, a key of 16 bytes and an environment are needed")
	}
	if c.Gate == nil {
		c.Gate = tunnel.Open
	}
	return &Tunnel{cfg: c, followed: map[tunnel.BaseID]bool{}, conns: map[tunnel.BaseID]*conn{}, process: map[tunnel.BaseID]string{}}, nil
}

// Name implements tunnel.Tunnel.
func (t *Tunnel) Name() string { return Name }

// Run implements tunnel.Tunnel.
func (t *Tunnel) Run(ctx context.Context, sink tunnel.Sink) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", t.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for bases: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	t.use(sink)
	sink.Link(tunnel.Link{Tunnel: Name, Up: true, Since: time.Now()})
	var work sync.WaitGroup
	room := make(chan struct{}, maxConnections)
	for {
		c, err := l.Accept()
		if err != nil {
			break // closed
		}
		select {
		case room <- struct{}{}:
			work.Go(func() {
				defer func() { <-room }()
				t.serve(ctx, c)
			})
		default:
			_ = c.Close()
		}
	}
	cancel()
	work.Wait()
	t.use(nil)
	sink.Link(tunnel.Link{Tunnel: Name, Since: time.Now()})
	return nil
}

func (t *Tunnel) use(s tunnel.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sink = s
}

// Follow implements tunnel.Tunnel.
func (t *Tunnel) Follow(h tunnel.Heartbeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followed[h.Base] = true
}

// Unfollow implements tunnel.Tunnel.
func (t *Tunnel) Unfollow(b tunnel.BaseID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followed, b)
}

// verbs are the base's words for what it is asked.
var verbs = map[tunnel.Verb]string{
	tunnel.InstallModule: "start", tunnel.UninstallModule: "stop", tunnel.SwitchModule: "promote", tunnel.ListModules: "list", tunnel.ReadHealth: "measure",
}

// Do implements tunnel.Tunnel. AnswerBaseline is not supported: no base asks what to install.
func (t *Tunnel) Do(_ context.Context, b tunnel.BaseID, c tunnel.Command) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := t.conns[b]
	switch {
	case t.sink == nil:
		return tunnel.ErrNotLinked
	case !t.followed[b], to == nil:
		return fmt.Errorf("%s: %w", b, tunnel.ErrNotFollowed)
	case !t.cfg.Gate.Valid():
		return tunnel.ErrShut
	case verbs[c.Verb] == "":
		return fmt.Errorf("%s: %w", b, tunnel.ErrUnsupported)
	case to.full():
		return fmt.Errorf("%s: %w", b, tunnel.ErrBusy)
	}
	select {
	case to.orders <- asked{command: c, at: time.Now()}:
		return nil
	default:
		return fmt.Errorf("%s: %w", b, tunnel.ErrBusy)
	}
}

// asked is a command on its way.
type asked struct {
	command tunnel.Command
	at      time.Time
}

// conn is a connection of a base that proved who it is.
type conn struct {
	net.Conn
	base   tunnel.BaseID
	orders chan asked

	mu sync.Mutex
	// mu guards what follows
	number uint64
	open   map[uint64]asked // that are not answered
	told   bool             // what the base can, since it was followed
}

// serve serves a connection until it ends, or ctx does.
func (t *Tunnel) serve(ctx context.Context, raw net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() { stop(); _ = raw.Close() }()
	in := bufio.NewReaderSize(raw, maxLine)
	challenge := rand.Text()
	c := &conn{Conn: raw, orders: make(chan asked, backlog), open: map[uint64]asked{}}
	if c.write(map[string]string{"challenge": challenge}) != nil || !t.admit(c, in, challenge) {
		return
	}
	defer t.left(c)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel()
	writing.Go(func() {
		defer cancel()
		t.send(ctx, c)
	})
	for t.receive(c, in) {
	}
}

// admit reads who connects, and takes the connection for its base's if that is proved.
func (t *Tunnel) admit(c *conn, in *bufio.Reader, challenge string) bool {
	_ = c.SetReadDeadline(time.Now().Add(silence))
	var first line
	if read(in, &first) != nil || first.Hello == nil {
		return false
	}
	h := first.Hello
	key := KeyOf(t.cfg.Key, h.Env, h.Identity)
	if !hmac.Equal([]byte(h.Proof), []byte(proofOf(key, challenge))) || !slices.Contains(t.cfg.Environments, h.Env) || tunnel.CheckIdentity(h.Identity) != nil {
		return false
	}
	c.base = tunnel.BaseID{Env: h.Env, Identity: h.Identity}
	t.mu.Lock()
	t.conns[c.base] = c
	t.mu.Unlock()
	t.beat(c, first)
	return true
}

// left forgets a connection that ended.
func (t *Tunnel) left(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns[c.base] == c {
		delete(t.conns, c.base)
	}
}

// send writes orders. The gate is asked as the bytes leave: what waited meanwhile is dropped.
func (t *Tunnel) send(ctx context.Context, c *conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-c.orders:
			o := c.numbered(a)
			if !t.cfg.Gate.Valid() {
				c.answered(o.Number)
				continue
			}
			if c.write(o) != nil {
				return
			}
		}
	}
}

// numbered numbers a command, and gives the order for it.
func (c *conn) numbered(a asked) order {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.open[c.number] = a
	m := a.command
	return order{Number: c.number, Do: verbs[m.Verb], Name: m.Module.Name, Version: m.Module.Version, From: m.URL, Alone: m.Replace, Args: m.Args, Env: m.Env, Ticket: m.RequestID}
}

// full says whether so many commands are not answered that no more may come.
func (c *conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open) >= backlog
}

// answered gives the command that a number is of, once.
func (c *conn) answered(number uint64) (a asked, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, is = c.open[number]
	delete(c.open, number)
	return a, is
}

func (c *conn) write(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err = c.Write(append(text, '\n'))
	return err
}

// receive takes in one line; false ends the connection.
func (t *Tunnel) receive(c *conn, in *bufio.Reader) bool {
	_ = c.SetReadDeadline(time.Now().Add(silence))
	var l line
	switch err := read(in, &l); {
	case errors.As(err, new(garbage)):
		return true
	case err != nil:
		return false
	case l.Hello != nil:
		t.beat(c, l)
	default:
		t.report(c, l)
	}
	return true
}

// beat takes in what a base says of itself. Who it is was proved before: it cannot be another.
func (t *Tunnel) beat(c *conn, l line) {
	h := l.Hello
	if h.Env != c.base.Env || h.Identity != c.base.Identity {
		return
	}
	beat := tunnel.Heartbeat{
		Base: c.base, Tunnel: Name, Stack: Stack, Sender: tunnel.Sender{Bound: true}, Received: time.Now(), Stamp: time.UnixMilli(l.Clock),
		Name: tunnel.Say(h.Name, tunnel.MaxIdentity), Version: tunnel.Say(h.Version, tunnel.MaxIdentity), Cluster: tunnel.Say(h.Cluster, tunnel.MaxIdentity), Hostname: tunnel.Say(h.Hostname, tunnel.MaxIdentity),
	}
	if ip, err := netip.ParseAddr(h.IP); err == nil && ip.Zone() == "" {
		beat.IP = ip.Unmap().String()
	}
	sink, followed, restarted := t.heard(c.base, h.Process)
	if sink == nil {
		return
	}
	beat.Restarted = restarted
	sink.Heartbeat(beat)
	if c.mayTell(followed) {
		t.deliver(tunnel.Report{Base: c.base, Tunnel: Name, Received: beat.Received, Features: &tunnel.Features{Switch: true, Settings: true}})
	}
}

// deliver delivers a report, if its base is followed, which Unfollow does not end meanwhile.
func (t *Tunnel) deliver(r tunnel.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.followed[r.Base] && t.sink != nil {
		t.sink.Report(r) // which returns at once
	}
}

// mayTell says whether it is to be told now what the base can.
func (c *conn) mayTell(followed bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	tells := followed && !c.told
	c.told = followed
	return tells
}

// heard takes in which process spoke, and says whether it is another than before.
func (t *Tunnel) heard(b tunnel.BaseID, process string) (sink tunnel.Sink, followed, restarted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, known := t.process[b]
	t.process[b] = process
	return t.sink, t.followed[b], known && was != process
}

// report takes in an answer.
func (t *Tunnel) report(c *conn, l line) {
	a, is := c.answered(l.Number)
	if !is {
		return
	}
	r := tunnel.Report{Base: c.base, Tunnel: Name, Received: time.Now(), Asked: a.at, Stamp: time.UnixMilli(l.Clock)}
	switch {
	case l.Running != nil:
		r.Listed, r.Modules = true, modulesOf(*l.Running)
	case l.Load != nil:
		r.Health = &tunnel.Health{MaxMemory: l.Load.Limit, UsedMemory: l.Load.Memory, CPUs: l.Load.CPUs, Uptime: l.Load.Up}
	case l.Result != "":
		r.Answer = answerOf(a.command, l)
	default:
		return
	}
	t.deliver(r)
}

// states are the base's words in those of the contract.
var states = map[string]tunnel.State{"starting": tunnel.Resolved, "serving": tunnel.Activated, "waiting": tunnel.Deactivated}

func modulesOf(running []named) (all []tunnel.Module) {
	for _, m := range running {
		state, known := states[m.State]
		if !known {
			state = tunnel.UnknownState
		}
		all = append(all, tunnel.Module{ModuleKey: tunnel.ModuleKey{Name: m.Name, Version: m.Version}, State: state, Since: time.UnixMilli(m.Since)})
	}
	return all
}

// outcomes are the base's words in those of the contract.
var outcomes = map[string]tunnel.Outcome{"done": tunnel.Done, "there": tunnel.Repeated, "absent": tunnel.NotFound, "busy": tunnel.Busy, "failed": tunnel.Failed}

func answerOf(c tunnel.Command, l line) *tunnel.Answer {
	outcome, known := outcomes[l.Result]
	if !known {
		outcome = tunnel.Failed
	}
	a := &tunnel.Answer{Verb: c.Verb, Module: c.Module, Outcome: outcome, Message: tunnel.Say(l.Text, tunnel.MaxText), RequestID: c.RequestID}
	if l.Is != nil {
		a.Installed = tunnel.ModuleKey{Name: l.Is.Name, Version: l.Is.Version}
	}
	return a
}
