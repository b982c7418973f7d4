package httptunnel

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// However slow they are who send, Run ends soon, without an error, and what it began
// has ended: they are cut off, and nothing of theirs is heard.
func TestRunEndsSoon(t *testing.T) {
	const rest = " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
	for name, c := range map[string]struct {
		said string
		peer bool // on the peers' port
	}{
		"nothing was said":              {"", false},
		"half a header":                 {"POST /heartbeat HT", false},
		"half a body":                   {"POST /heartbeat" + rest + "{", false},
		"nothing of a peer's handshake": {"", true},
		"the beginning of a handshake":  {"\x16\x03\x01\x02\x00\x01", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink, l := &tunneltest.RecordingSink{}, make(tunneltest.Pipes)
				tun, err := New(Config{Env: "dev", Auth: AuthAnyone, Peers: &team{}, Key: newKey(t), Timeout: time.Minute}, zaptest.NewLogger(t), tunnel.NoMeter)
				if err != nil {
					t.Fatal(err)
				}
				at := tun.baseFront(l, sink)
				if c.peer {
					at = tun.peerFront(l, sink)
				}
				ctx, end := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- tun.serve(ctx, []front{at}, sink) }()
				sender := l.Say(t, c.said)
				synctest.Wait()
				began := time.Now()
				end()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > closeTimeout {
					t.Errorf("it took %s", took)
				}
				if heard := sink.Recorded().Beats; len(heard) != 0 {
					t.Errorf("it heard %v", heard)
				}
				if _, err := io.ReadAll(sender); err != nil { // until the connection is closed
					t.Error(err)
				}
			})
		})
	}
}
