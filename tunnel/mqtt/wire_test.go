package mqtttunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// stalled opens a connection to a broker that does not read, and fills it until a write
// fails. It gives both ends and how many bytes were written.
func stalled(t *testing.T, ctx context.Context) (ours, broker net.Conn, written int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().(*net.TCPAddr)
	c := Config{Broker: address.IP.String(), Port: address.Port, ClientID: "test", Environments: []string{"dev"}, Timeout: 200 * time.Millisecond}
	tun, err := New(c, zap.NewNop(), tunnel.NoMeter)
	if err != nil {
		t.Fatal(err)
	}
	ours, err = tun.open(ctx, nil, "probe")
	if err != nil {
		t.Fatal(err)
	}
	if broker, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	for err == nil {
		var n int
		n, err = ours.Write(make([]byte, 64<<10))
		written += n
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a write that cannot end: %v, want a timeout", err)
	}
	return ours, broker, written
}

// What the system still holds of a connection that was given up is not sent: it might
// reach a base behind what its next owner says. A connection that is closed properly
// sends it.
func TestAConnectionThatIsGivenUpSendsNothingMore(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*session)
		sends bool
	}{
		"given up": {(*session).giveUp, false},
		"closed":   {func(s *session) { s.hangUp(nil) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, hangUp := context.WithCancelCause(t.Context())
			ours, broker, written := stalled(t, ctx)
			c.end(&session{hangUp: hangUp})
			tunneltest.Await(t, "our end to be closed", func() bool { return errors.Is(ours.SetDeadline(time.Time{}), net.ErrClosed) })
			if err := broker.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			read, err := io.Copy(io.Discard, broker)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection was not closed")
			}
			if sends := int(read) == written; sends != c.sends {
				t.Errorf("%d of %d bytes came (%v)", read, written, err)
			}
		})
	}
}
