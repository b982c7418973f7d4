package mqtttunnel

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// wills is what replicas told of their connections, as their membership Leases carry it.
type wills struct {
	mu   sync.Mutex
	told map[string]string // client id by hash
	gone []string          // client ids
}

func newWills() *wills { return &wills{told: map[string]string{}} }

func (w *wills) of(clientID string) func(string) {
	return func(hash string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told[hash] = clientID
	}
}

func (w *wills) Gone(hash string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	client, ok := w.told[hash]
	if ok {
		w.gone = append(w.gone, client)
	}
	return ok
}

func (w *wills) hints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.gone)
}

// A connection that is lost is told to the others by the broker. Nobody else can tell it:
// not with a client id, a hash, or what is retained.
func TestALostConnectionIsAHintAndNobodyForgesIt(t *testing.T) {
	broker := newBroker(t)
	w := newWills()
	w.told[hashOf([]byte("of long ago"))] = "mc-old"
	if err := broker.Publish("module-controller/x/gone", []byte("of long ago"), true); err != nil {
		t.Fatal(err)
	}
	_, watching, dropped := countedOn(t, broker, func(c *Config) { c.ClientID, c.Will, c.Gone = "watcher", w.of("watcher"), w.Gone })
	tunneltest.Await(t, "link up", func() bool { return watching.Recorded().Up() })
	dies := newTunnel(t, broker.Address(), func(c *Config) { c.ClientID, c.Environments, c.Will = "dies", []string{"dev"}, w.of("dies") })
	s, err := dies.dial(t.Context(), &tunneltest.RecordingSink{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for topic, payload := range map[string]string{
		"module-controller/dies/gone":     "gone",
		"module-controller/x/gone":        hashOf([]byte(s.control.secret)),
		"module-controller/dies/x/y/gone": "",
		s.control.gone:                    "dies",
	} {
		if err := broker.Publish(topic, []byte(payload), false); err != nil {
			t.Fatal(err)
		}
	}
	tunneltest.Await(t, "the forged ones are counted", func() bool { return dropped.of("gone_unproved") == 4 }) // one topic has too many levels
	if hints := w.hints(); len(hints) > 0 {
		t.Errorf("%q are believed gone", hints)
	}
	s.giveUp() // without a goodbye
	tunneltest.Await(t, "the others are told", func() bool { return slices.Equal(w.hints(), []string{"dies"}) })
}

// Who hears all that a replica says does not learn its client id, and nothing that says
// of its next connection that it is lost.
func TestAConnectionTellsNeitherItsClientIDNorItsNextSecret(t *testing.T) {
	broker := newBroker(t)
	var mu sync.Mutex
	said := map[string]bool{}
	broker.Observe(func(p basetest.Published) {
		mu.Lock()
		defer mu.Unlock()
		said[p.Topic] = true
		if strings.Contains(p.Topic, "our-own") || strings.Contains(string(p.Payload), "our-own") {
			t.Errorf("it says %q on %s", p.Payload, p.Topic)
		}
	})
	w := newWills()
	_, s := startOn(t, broker.Address(), func(c *Config) { c.ClientID, c.Will = "our-own", w.of("our-own") })
	probes := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(said)
	}
	tunneltest.Await(t, "a probe", func() bool { return probes() == 1 })
	if err := broker.Restart(); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "up again", func() bool { return s.Recorded().Ups() == 2 })
	tunneltest.Await(t, "a probe elsewhere", func() bool { return probes() == 2 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) < 2 {
		t.Errorf("two connections told %d secrets", len(w.told))
	}
}
