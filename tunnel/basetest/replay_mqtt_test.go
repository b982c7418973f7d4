package basetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
)

// message is one line of the recorded MQTT story.
type message struct {
	Topic   string          `json:"topic"`
	Payload json.RawMessage `json:"payload"`
}

const recordedRoot = "koupleless_default/192.0.2.2/"

// subscriber hears what bases say.
type subscriber struct {
	client paho.Client
	mu     sync.Mutex
	heard  []message // what was not asked for yet
	hearts int
}

func subscribe(t *testing.T, broker, filter string) *subscriber {
	t.Helper()
	l := &subscriber{}
	o := paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("listener").SetAutoReconnect(false).SetOrderMatters(true).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if strings.HasSuffix(m.Topic(), "/base/heart") {
				l.hearts++
			}
			l.heard = append(l.heard, message{m.Topic(), m.Payload()})
		})
	l.client = paho.NewClient(o)
	if token := l.client.Connect(); !token.WaitTimeout(enough) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	if token := l.client.Subscribe(filter, 1, nil); !token.WaitTimeout(enough) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	t.Cleanup(func() { l.client.Disconnect(0) })
	return l
}

// take removes the first message that fits.
func (l *subscriber) take(fits func(message) bool) (message, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.heard, fits)
	if i < 0 {
		return message{}, false
	}
	m := l.heard[i]
	l.heard = slices.Delete(l.heard, i, i+1)
	return m, true
}

func (l *subscriber) heartbeats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hearts
}

// about names what an answer answers: several may be under way at once.
func about(m message) string {
	var p struct {
		Data struct {
			Command, BizName, BizVersion string
		}
	}
	_ = json.Unmarshal(m.Payload, &p) // a list is about nothing in particular
	return m.Topic + " " + p.Data.Command + " " + p.Data.BizName + " " + p.Data.BizVersion
}

// stage is the recorded story's: a broker, a base and who listens.
type stage struct {
	*testing.T
	broker  *Broker
	base    *Base
	witness *Base // on the same connection
	sub     *subscriber
	sent    int // commands that change something
}

// Asked what a real base was asked, in the same order, a fake one answers the same.
func TestAnswersOverMQTTAsRecorded(t *testing.T) {
	broker, err := StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Stop() })
	s := &stage{T: t, broker: broker, sub: subscribe(t, broker.Address(), recordedRoot+"base/+")}
	s.base = mustNew(t, Options{
		Identity: "192.0.2.2", IP: "192.0.2.2", Start: 150 * time.Millisecond, Heartbeat: 50 * time.Millisecond,
		Jars: recordedJars(sameMain, Jar{FailWith: "no stock today"}),
	})
	s.witness = mustNew(t, Options{Identity: "witness"})
	s.ports(8080)
	during(t, func(ctx context.Context) error {
		(&MQTTFleet{Broker: broker.Address(), Bases: []*Base{s.base, s.witness}, Reconnect: 100 * time.Millisecond}).Run(ctx)
		return nil
	})
	for i, line := range readLines[message](t, "mqtt-2.1.11.jsonl") {
		s.meanwhile(i + 1)
		if strings.Contains(line.Topic, "/base/") && !strings.HasSuffix(line.Topic, "/base/baseline") {
			s.expect(i+1, line)
		} else {
			s.send(line, i+1)
		}
	}
	if m, more := s.sub.take(func(m message) bool { return !strings.HasSuffix(m.Topic, "/base/heart") }); more {
		t.Errorf("the fake said more than was recorded: %s %s", m.Topic, m.Payload)
	}
}

// ports has the modules of orders open a fixed port, or none.
func (s *stage) ports(port int) {
	for _, v := range []string{"1.0.0", "2.0.0"} {
		jar := s.base.Jars().find("file:///opt/modules/orders-" + v + "-ark-biz.jar")
		jar.Port = port
		s.base.Jars().Add(jar)
	}
	jar := s.base.Jars().find("file:///opt/modules/orders-2.0.0-ark-biz.jar")
	jar.URL = "http://127.0.0.1:8999/orders-2.0.0-ark-biz.jar"
	s.base.Jars().Add(jar)
}

// meanwhile does what was done beside the recorded lines, before one of them.
func (s *stage) meanwhile(line int) {
	first := Command{Name: "orders", Version: "1.0.0", URL: "file:///opt/modules/orders-1.0.0-ark-biz.jar"}
	switch line {
	case 56: // the modules were built anew, without a fixed port
		s.ports(0)
	case 62: // over HTTP
		s.base.Switch(s.Context(), Command{Name: "orders", Version: "2.0.0"})
	case 68: // over HTTP
		s.base.Install(s.Context(), first)
	case 70: // over HTTP
		first.Strategy = replaceStrategy
		s.base.Install(s.Context(), first)
	case 100: // the broker was away for longer than a heartbeat
		s.outage()
	case 104: // the base was restarted, and another controller's question is retained
		if n := s.hearts(); n != 0 {
			s.Errorf("%d heartbeats after the broker was away, want none", n)
		}
		s.base.Stop()
		if err := s.broker.Publish(recordedRoot+queryAllBiz, []byte("{}"), true); err != nil {
			s.Fatal(err)
		}
		s.subscribed() // what was delivered at once is behind us
		s.base.Restart()
	case 107: // it is cleared, which the base takes for a question
		if err := s.broker.Publish(recordedRoot+queryAllBiz, nil, true); err != nil {
			s.Fatal(err)
		}
	}
}

// outage takes the broker away until the base's heartbeat has failed.
func (s *stage) outage() {
	if err := s.broker.Stop(); err != nil {
		s.Fatal(err)
	}
	await(s.T, "the heartbeat to die", func() bool { return s.base.heartbeatDead(s.base.running(), false) })
	if err := s.broker.Start(); err != nil {
		s.Fatal(err)
	}
	s.sub = subscribe(s.T, s.broker.Address(), recordedRoot+"base/+")
	s.subscribed()
}

// subscribed waits until the bases' connection hears what was published up to now.
func (s *stage) subscribed() {
	before := s.witness.Look().Questions["nothing"]
	await(s.T, "the witness to hear", func() bool {
		_ = s.broker.Publish("koupleless_default/witness/nothing", nil, false)
		return s.witness.Look().Questions["nothing"] > before
	})
}

func (s *stage) hearts() int { return s.sub.heartbeats() }

// send publishes a recorded command, and waits until the base has begun with it where
// the next one would otherwise overtake it.
func (s *stage) send(line message, number int) {
	s.Helper()
	var payload []byte = line.Payload
	if text := ""; json.Unmarshal(payload, &text) == nil {
		payload = []byte(text)
	}
	retain := number == 107
	if retain {
		return // meanwhile did
	}
	if err := s.broker.Publish(line.Topic, payload, false); err != nil {
		s.Fatal(err)
	}
	if changes(strings.TrimPrefix(line.Topic, recordedRoot)) {
		s.sent++
		await(s.T, "the command to arrive", func() bool { return len(s.base.Look().Commands) >= s.sent })
	}
	if strings.HasSuffix(line.Topic, "/"+installBiz) && strings.Contains(string(payload), "stock") {
		await(s.T, "the module to start", func() bool { return starting(s.base) })
	}
}

// expect waits for the recorded answer.
func (s *stage) expect(number int, line message) {
	s.Helper()
	var got message
	await(s.T, fmt.Sprintf("line %d: %s", number, about(line)), func() (ok bool) {
		got, ok = s.sub.take(func(m message) bool { return about(m) == about(line) })
		return ok
	})
	want, have := normal(decoded(s.T, line.Payload)), normal(decoded(s.T, got.Payload))
	if diff := cmp.Diff(want, have); diff != "" {
		s.Errorf("line %d: %s: recorded (-), fake (+):\n%s", number, line.Topic, diff)
	}
}
