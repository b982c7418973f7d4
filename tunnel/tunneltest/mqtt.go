package tunneltest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// threads is how many commands a base works on at a time over MQTT.
const threads = 5

// MQTTFleet connects bases to a broker, many over one connection.
type MQTTFleet struct {
	Broker string // host:port
	Bases  []*Base
	// PerConnection is how many bases share a connection. Default 250.
	PerConnection int
	// Retry is the pause before a lost connection is tried again. Default 200 ms.
	Retry time.Duration
}

// Run connects and plays until ctx ends.
func (f *MQTTFleet) Run(ctx context.Context) {
	per := f.PerConnection
	if per == 0 {
		per = 250
	}
	var wg sync.WaitGroup
	for from := 0; from < len(f.Bases); from += per {
		group := &mqttGroup{fleet: f, byTopic: map[string]*mqttBase{}}
		for _, b := range f.Bases[from:min(from+per, len(f.Bases))] {
			m := &mqttBase{Base: b, slots: make(chan struct{}, threads), group: group}
			group.bases = append(group.bases, m)
			group.byTopic[m.root()] = m
		}
		wg.Go(func() { group.run(ctx) })
	}
	wg.Wait()
}

// mqttGroup is the bases of one connection.
type mqttGroup struct {
	fleet   *MQTTFleet
	bases   []*mqttBase
	byTopic map[string]*mqttBase
	work    sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	client paho.Client // nil while not connected
}

type mqttBase struct {
	*Base
	group *mqttGroup
	slots chan struct{}
	life  int // the life that said queryBaseline
	next  time.Time
}

func (m *mqttBase) root() string {
	return "koupleless_" + strings.ToLower(m.Env) + "/" + m.Identity + "/"
}

func (g *mqttGroup) run(ctx context.Context) {
	retry := g.fleet.Retry
	if retry == 0 {
		retry = 200 * time.Millisecond
	}
	beats := make(chan struct{})
	go func() { defer close(beats); g.beat(ctx) }()
	for ctx.Err() == nil {
		lost := make(chan struct{})
		if c := g.connect(lost); c != nil {
			select {
			case <-lost:
			case <-ctx.Done():
			}
			g.setClient(nil)
			c.Disconnect(50)
		}
		select {
		case <-time.After(retry/2 + rand.N(retry)):
		case <-ctx.Done():
		}
	}
	<-beats
	g.work.Wait()
}

func (g *mqttGroup) setClient(c paho.Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.client = c
}

func (g *mqttGroup) connect(lost chan struct{}) paho.Client {
	o := paho.NewClientOptions().AddBroker("tcp://" + g.fleet.Broker).
		SetClientID(fmt.Sprintf("sim@@@%s-%08x", g.bases[0].Identity, rand.Uint32())).
		SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).SetConnectTimeout(5 * time.Second).
		SetKeepAlive(15 * time.Second).SetWriteTimeout(5 * time.Second).
		SetConnectionLostHandler(func(paho.Client, error) { close(lost) }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { g.take(m) })
	c := paho.NewClient(o)
	const patience = 10 * time.Second
	if t := c.Connect(); !t.WaitTimeout(patience) || t.Error() != nil {
		return nil
	}
	filters := map[string]byte{}
	for _, b := range g.bases {
		filters[b.root()+"+"], filters[b.root()+"base/baseline"] = 1, 1
	}
	if t := c.SubscribeMultiple(filters, nil); !t.WaitTimeout(patience) || t.Error() != nil {
		c.Disconnect(50)
		return nil
	}
	g.setClient(c)
	return c
}

// beat sends the heartbeats that are due. One that cannot be sent is a base's last.
func (g *mqttGroup) beat(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, b := range g.bases {
			g.beatOne(b)
		}
	}
}

func (g *mqttGroup) beatOne(b *mqttBase) {
	now := time.Now()
	b.mu.Lock()
	lives, faults, period := b.lives, b.faults, b.Heartbeat
	b.mu.Unlock()
	if period == 0 {
		period = 10 * time.Second
	}
	g.mu.Lock()
	connected := g.client != nil
	g.mu.Unlock()
	if b.life != lives { // the first connect of a process
		if !connected || faults.Silent {
			return
		}
		b.life, b.next = lives, now
		b.Set(func(f *Faults) { f.NoHeartbeat = false })
		faults.NoHeartbeat = false
		g.publish(b, "base/queryBaseline", b.metadata())
	}
	if now.Before(b.next) || faults.NoHeartbeat || faults.Silent {
		return
	}
	b.next = now.Add(period)
	if !connected || !g.publish(b, "base/heart", b.heartbeat(0)) {
		b.Set(func(f *Faults) { f.NoHeartbeat = true }) // its timer dies with the first failed publish
	}
}

func (g *mqttGroup) publish(b *mqttBase, topic string, data any) bool {
	g.mu.Lock()
	c := g.client
	g.mu.Unlock()
	if c == nil || b.Faults().Silent {
		return false
	}
	return g.publishRaw(c, b.root()+topic, encode(object{"publishTimestamp": b.now().UnixMilli(), "data": data}))
}

func (g *mqttGroup) publishRaw(c paho.Client, topic string, body []byte) bool {
	t := c.Publish(topic, 1, false, body)
	select {
	case <-t.Done():
		return t.Error() == nil
	default:
		return true
	}
}

// take gives a message to a base's threads.
func (g *mqttGroup) take(m paho.Message) {
	at := strings.Index(m.Topic(), "/")
	at += 1 + strings.IndexByte(m.Topic()[at+1:], '/')
	b, topic := g.byTopic[m.Topic()[:at+1]], m.Topic()[at+1:]
	if b == nil || b.Faults().Silent {
		return
	}
	payload := m.Payload()
	g.work.Go(func() {
		b.slots <- struct{}{}
		defer func() { <-b.slots }()
		b.obey(topic, payload)
	})
}

// obey does a command, retained or not, and answers as the runtime does: to what it
// does not understand, nothing.
func (m *mqttBase) obey(topic string, payload []byte) {
	var c Command
	parsed := json.Unmarshal(payload, &c) == nil
	m.hear(topic, c)
	f := m.Faults()
	if f.Slow > 0 {
		time.Sleep(f.Slow)
	}
	if f.Mute {
		return
	}
	switch topic {
	case "health":
		m.group.publish(m, "base/health", m.health())
	case "queryAllBiz":
		m.group.publish(m, "base/simpleBiz", m.simpleList())
	case "installBiz", "uninstallBiz":
		if parsed && c.Name != "" {
			m.operate(topic, c)
		}
	case "base/baseline":
		m.baseline(payload)
	}
}

func (m *mqttBase) operate(command string, c Command) {
	do := m.uninstall
	if command == "installBiz" {
		do = m.install
	}
	r := do(c)
	if r.code == "" || m.loses() {
		return
	}
	m.group.publish(m, "base/bizOperation", object{"command": command, "bizName": c.Name, "bizVersion": c.Version, "response": r.write(m.Base, strings.ToUpper, true)})
}

// loses says whether the next answer gets lost.
func (b *Base) loses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults.LoseAnswers > 0 {
		b.faults.LoseAnswers--
		return true
	}
	return false
}

// baseline installs a list of modules: one bad URL fails it whole.
func (m *mqttBase) baseline(payload []byte) {
	var list []Command
	if json.Unmarshal(payload, &list) != nil {
		return
	}
	var response object
	for _, c := range list {
		if m.Jars.find(c.URL).Missing {
			response = thrown("BatchInstallBizHandler", "java.io.FileNotFoundException: "+strings.TrimPrefix(c.URL, "file://")+missingText(c.URL)).write(m.Base, strings.ToUpper, true)
		}
	}
	if response == nil {
		byURL := object{}
		for _, c := range list {
			byURL[c.URL] = m.install(c).write(m.Base, strings.ToUpper, true)["data"]
		}
		response = object{"code": "SUCCESS", "data": object{"code": "SUCCESS", "message": "batch install success", "elapsedSpace": 1080, "bizUrlToResponse": byURL}}
	}
	m.group.publish(m, "base/batchInstallBizResponse", object{"command": "batchInstallBiz", "response": response})
}
