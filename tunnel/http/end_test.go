package httptunnel

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// slow is a team that takes its time with a token.
type slow struct {
	team
	asked, answered bool
}

func (s *slow) Admit(ctx context.Context, _ string) error {
	s.asked = true
	<-ctx.Done()
	s.answered = true
	return fmt.Errorf("%w: %w", ErrUnreviewed, ctx.Err())
}

// However slow they are who send, Run ends soon, without an error, and what it began
// has ended: they are cut off, and nothing of theirs is heard.
func TestRunEndsSoon(t *testing.T) {
	const rest = " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
	for name, c := range map[string]struct {
		said  string
		asked bool // whose the token is
	}{
		"nothing was said": {"", false},
		"half a header":    {"POST /heartbeat HT", false},
		"half a body":      {"POST /heartbeat" + rest + "{", false},
		"a slow review":    {"POST " + peerPath + rest, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peers, sink, l := &slow{}, &tunneltest.RecordingSink{}, make(tunneltest.Pipes)
				tun, err := New(Config{Env: "dev", Auth: AuthAnyone, Peers: peers, Timeout: time.Minute}, zaptest.NewLogger(t), tunnel.NoMeter)
				if err != nil {
					t.Fatal(err)
				}
				ctx, end := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- tun.serve(ctx, l, sink) }()
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
				if peers.asked != c.asked || peers.answered != c.asked {
					t.Errorf("review asked for: %v, ended: %v", peers.asked, peers.answered)
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
