package mqtttunnel

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"module-controller/tunnel/tunneltest"
)

// words are what was told of a connection that is down.
type words struct {
	mu  sync.Mutex // mu guards what follows
	all []string
}

func (w *words) add(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, why)
}

func (w *words) told(text string) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.all, func(why string) bool { return strings.Contains(why, text) })
	}
}

func (w *words) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return "nothing"
	}
	return w.all[len(w.all)-1]
}

// While there is no connection it is told why, in words that name the cause, and that there
// is one once there is.
func TestItIsToldWhyTheConnectionIsDown(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close()
	refused := &words{}
	startOn(t, nobody, func(c *Config) { c.Down = refused.add })
	tunneltest.Await(t, "told that nobody listens", refused.told("connection refused"))

	broker, said := newBroker(t), &words{}
	startOn(t, broker.Address(), func(c *Config) { c.Down = said.add })
	tunneltest.Await(t, "told that there is a connection", func() bool { return said.last() == "" })
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "told why it is down", func() bool { return said.last() != "" })
}
