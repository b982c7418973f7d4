//go:build scale

package scale

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"module-controller/e2e/attacker"
	"module-controller/e2e/world"
)

// attackerAt is the address of a Pod which may be a base.
const attackerAt = "127.66.0.1"

// flood floods topics of an environment, or what else it floods, until ctx ends, and says
// what it did.
type flood func(ctx context.Context, w *world.World, env string) string

// paced calls do until ctx ends, so often a second in all.
func paced(ctx context.Context, rate, workers int, do func(n int)) (done int64) {
	var n atomic.Int64
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			tick := time.NewTicker(time.Second * time.Duration(workers) / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					do(int(n.Add(1)))
				}
			}
		})
	}
	work.Wait()
	return n.Load()
}

// floodRate is 100,000 a minute.
const floodRate = 1667

func identitiesOverHTTP(ctx context.Context, w *world.World, _ string) string {
	s := attacker.NewSender(attackerAt, w.Endpoint())
	defer s.Close()
	n := paced(ctx, floodRate, 8, func(n int) {
		_, _, _ = s.Post(ctx, "/heartbeat", attacker.Heart{Identity: fmt.Sprintf("forged-%d", n), IP: attackerAt, Port: 9}.String())
	})
	return fmt.Sprintf("%d heartbeats", n)
}

// publisher is an attacker's client of the broker that connects again whenever it is cut off.
type publisher struct {
	w      *world.World
	id     string
	mu     sync.Mutex
	client *attacker.Publisher // nil while it is cut off
	cut    int
}

// publish publishes and says whether the broker took it.
func (p *publisher) publish(ctx context.Context, topic string, body []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil {
		c, err := attacker.Connect(ctx, p.w.BrokerAddress(), p.id)
		if err != nil {
			c.Close()
			return false
		}
		p.client = c
	}
	if err := p.client.Publish(ctx, topic, body, false); err != nil {
		p.client.Close()
		p.client = nil
		p.cut++
		return false
	}
	return true
}

func (p *publisher) close() {
	if p.client != nil {
		p.client.Close()
	}
}

func identitiesOverMQTT(ctx context.Context, w *world.World, env string) string {
	p, err := attacker.Connect(ctx, w.BrokerAddress(), "identities")
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	n := paced(ctx, floodRate, 2, func(n int) {
		identity := fmt.Sprintf("forged-%d", n)
		p.Throw("koupleless_"+env+"/"+identity+"/base/heart", []byte(attacker.Heart{Identity: identity, IP: attackerAt}.Published(time.Now())))
	})
	return fmt.Sprintf("%d heartbeats", n)
}

// largePublishes tries one a second.
func largePublishes(ctx context.Context, w *world.World, env string) string {
	p := &publisher{w: w, id: "large"}
	defer p.close()
	body := make([]byte, 250<<20)
	taken := 0
	n := paced(ctx, 1, 1, func(int) {
		if p.publish(ctx, "koupleless_"+env+"/anybody/base/heart", body) {
			taken++
		}
	})
	return fmt.Sprintf("%d publishes, %d taken by the broker", n, taken)
}

// silentBases are at a port that accepts connections and answers nothing. A Pod may have
// few identities, so there are many Pods.
func silentBases(ctx context.Context, w *world.World, _ string) string {
	const pods, each = 75, 8
	var senders []*attacker.Sender
	ports := map[string]int{}
	for n := range pods {
		ip := fmt.Sprintf("127.67.0.%d", n+1)
		w.CreateBasePods(ip)                 //nolint:contextcheck // a World has its own
		l, err := net.Listen("tcp", ip+":0") // connections wait in its backlog
		if err != nil {
			return err.Error()
		}
		defer func() { _ = l.Close() }()
		ports[ip] = l.Addr().(*net.TCPAddr).Port
		s := attacker.NewSender(ip, w.Endpoint())
		defer s.Close()
		senders = append(senders, s)
	}
	var accepted atomic.Int64
	n := paced(ctx, pods*each/10, 4, func(n int) {
		s := senders[n%pods]
		status, _, err := s.Post(ctx, "/heartbeat", attacker.Heart{Identity: fmt.Sprintf("silent-%d", n%(pods*each)), IP: s.IP, Port: ports[s.IP]}.String())
		if err == nil && status == 200 {
			accepted.Add(1)
		}
	})
	return fmt.Sprintf("%d heartbeats, %d accepted", n, accepted.Load())
}

// lists publishes lists of so many bytes, so many a second, as half of the fleet's bases.
func lists(size, rate int) flood {
	return func(ctx context.Context, w *world.World, env string) string {
		const frame = `{"publishTimestamp":1,"data":[`
		body := []byte(frame + strings.Repeat("1,", (size-len(frame)-3)/2) + "1]}")
		var clients []*publisher
		for n := range 4 {
			p := &publisher{w: w, id: fmt.Sprintf("lists-%d", n)}
			defer p.close()
			clients = append(clients, p)
		}
		n := paced(ctx, rate, len(clients), func(n int) {
			clients[n%len(clients)].publish(ctx, "koupleless_"+env+"/"+world.BaseID(1+2*(n%(flooded/2)))+"/base/simpleBiz", body)
		})
		cut := 0
		for _, p := range clients {
			cut += p.cut
		}
		return fmt.Sprintf("%d lists, %d times cut off by the broker", n, cut)
	}
}
