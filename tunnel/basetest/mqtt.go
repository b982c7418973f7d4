package basetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// MQTTFleet connects bases to a broker, many over one connection. A base costs no
// goroutine but for commands under way.
type MQTTFleet struct {
	Broker string // host:port
	Bases  []*Base
	// PerConnection is how many bases share a connection; default 250, and 1 with Users.
	PerConnection int
	// Users has each base connect for itself, as its Options.User with the password that it has
	// here; nil: none does.
	Users Users
	// Reconnect is how long the pause before a lost connection is tried again grows;
	// it begins with an eighth of a second and is doubled each time. Default 128 s, a
	// real base's.
	Reconnect time.Duration
}

// Run connects and plays until ctx ends.
func (f *MQTTFleet) Run(ctx context.Context) {
	per := cmp.Or(f.PerConnection, 250)
	if f.Users != nil {
		per = 1
	}
	var wg sync.WaitGroup
	for from := 0; from < len(f.Bases); from += per {
		g := newGroup(f, f.Bases[from:min(from+per, len(f.Bases))])
		wg.Go(func() { g.run(ctx) })
	}
	wg.Wait()
}

// group is the bases of one connection.
type group struct {
	fleet  *MQTTFleet
	bases  []*speaker
	byRoot map[string][]*speaker // several: two bases with one identity
	wake   chan struct{}         // a base's process began or ended, or it has a message to send
	work   sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	client paho.Client // nil while not connected
	since  time.Time   // of the connection
	ended  bool        // no work may begin
}

func newGroup(f *MQTTFleet, bases []*Base) *group {
	g := &group{fleet: f, byRoot: map[string][]*speaker{}, wake: make(chan struct{}, 1)}
	for _, b := range bases {
		s := &speaker{Base: b, group: g}
		g.bases = append(g.bases, s)
		g.byRoot[s.root()] = append(g.byRoot[s.root()], s)
	}
	return g
}

func (g *group) run(ctx context.Context) {
	for _, s := range g.bases {
		s.watch(g.poke)
		defer s.closePorts()
		defer s.watch(nil)
	}
	var beats sync.WaitGroup
	beats.Go(func() { g.beat(ctx) })
	const first = 125 * time.Millisecond
	most := cmp.Or(g.fleet.Reconnect, 128*time.Second)
	for wait := first; ctx.Err() == nil; wait = min(2*wait, most) {
		if g.connection(ctx) {
			wait = first
		}
		pause(ctx, min(wait/2+rand.N(wait), most))
	}
	beats.Wait()
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.work.Wait()
}

// connection makes one and serves it until it is lost; false: there was none.
func (g *group) connection(ctx context.Context) bool {
	lost := make(chan struct{})
	c := g.connect(ctx, lost)
	if c == nil {
		return false
	}
	select {
	case <-lost:
	case <-ctx.Done():
	}
	g.setClient(nil)
	c.Disconnect(0)
	return true
}

func (g *group) setClient(c paho.Client) {
	g.mu.Lock()
	g.client, g.since = c, time.Now()
	g.mu.Unlock()
	g.poke()
}

func (g *group) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *group) connect(ctx context.Context, lost chan struct{}) paho.Client {
	first := g.bases[0].options.User
	o := paho.NewClientOptions().AddBroker("tcp://" + g.fleet.Broker).
		SetClientID(fmt.Sprintf("%s%08x", simClient(first), rand.Uint32())).
		SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).SetConnectTimeout(5 * time.Second).
		SetKeepAlive(15 * time.Second).SetWriteTimeout(5 * time.Second).
		SetConnectionLostHandler(func(paho.Client, error) { close(lost) }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { g.take(ctx, m.Topic(), m.Payload()) })
	if g.fleet.Users != nil {
		o.SetUsername(first).SetPassword(g.fleet.Users[first])
	}
	c := paho.NewClient(o)
	if !acknowledged(ctx, c.Connect()) {
		c.Disconnect(0)
		return nil
	}
	filters := map[string]byte{}
	for root := range g.byRoot {
		filters[root+"+"], filters[root+"base/baseline"] = 1, 1
	}
	g.setClient(c) // retained commands come with the subscription, and are answered
	if !acknowledged(ctx, c.SubscribeMultiple(filters, nil)) {
		g.setClient(nil)
		c.Disconnect(0)
		return nil
	}
	return c
}

// simClient is what the client ids of a base begin with.
func simClient(identity string) string { return "sim@@@" + identity + "-" }

func acknowledged(ctx context.Context, t paho.Token) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case <-t.Done():
		return t.Error() == nil
	case <-ctx.Done():
		return false
	}
}

// spawn has work done that Run waits for; it does nothing once Run has ended.
func (g *group) spawn(work func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.work.Go(work)
	}
}

// take gives a message to the threads of the bases that it is for.
func (g *group) take(ctx context.Context, topic string, payload []byte) {
	root, command, ok := cutTopic(topic)
	if !ok {
		return
	}
	for _, s := range g.byRoot[root] {
		if s.Faults().away() {
			continue
		}
		p := s.running()
		p.commands.submit(g.spawn, func() { // NB: what the pool refuses is lost; a real one's policy is not known
			s.execute(ctx, p, command, payload)
		})
	}
}

// cutTopic splits "koupleless_env/identity/command" behind the identity's slash.
func cutTopic(topic string) (root, command string, ok bool) {
	env, rest, _ := strings.Cut(topic, "/")
	identity, command, ok := strings.Cut(rest, "/")
	return env + "/" + identity + "/", command, ok
}

// send publishes; false: there is no connection. The token shows whether it arrived.
func (g *group) send(topic string, body []byte) (paho.Token, bool) {
	g.mu.Lock()
	c := g.client
	g.mu.Unlock()
	if c == nil {
		return nil, false
	}
	return c.Publish(topic, 1, false, body), true
}
