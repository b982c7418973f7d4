package mqtttunnel

import (
	"strconv"
	"testing"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// BenchmarkInbound compares what one message costs with 1 and with 10,000 bases
// followed: the ratio is to be about 1.
func BenchmarkInbound(b *testing.B) {
	for _, bases := range []int{1, 10_000} {
		b.Run(strconv.Itoa(bases), func(b *testing.B) {
			tun, err := New(Config{Broker: "nobody", ClientID: "c", Environments: []string{"dev"}}, zap.NewNop(), tunnel.NoMeter)
			if err != nil {
				b.Fatal(err)
			}
			for n := range bases {
				tun.followed[id(n)] = struct{}{}
			}
			s := &session{Tunnel: tun, sink: nobody{}}
			m := message{"koupleless_dev/b0/base/simpleBiz", []byte(`{"publishTimestamp":1,"data":[{"name":"orders","version":"1.0.0","state":"activated","latestStateRecord":{"changeTime":1,"state":"ACTIVATED","reason":"STARTED","message":""}}]}`)}
			for b.Loop() {
				s.receive(m)
				waiting, _ := tun.decoders.of(id(0)).next()
				tun.decode(waiting)
			}
		})
	}
}

// nobody listens.
type nobody struct{}

func (nobody) Heartbeat(tunnel.Heartbeat) {}
func (nobody) Report(tunnel.Report)       {}
func (nobody) Link(tunnel.Link)           {}

type message struct {
	topic   string
	payload []byte
}

func (m message) Duplicate() bool   { return false }
func (m message) Qos() byte         { return 1 }
func (m message) Retained() bool    { return false }
func (m message) Topic() string     { return m.topic }
func (m message) MessageID() uint16 { return 1 }
func (m message) Payload() []byte   { return m.payload }
func (m message) Ack()              {}
