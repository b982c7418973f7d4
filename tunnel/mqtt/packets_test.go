package mqtttunnel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// parsed is what becomes of what a broker sends.
type parsed struct {
	Given []byte
	Cut   []string
	Ended bool // otherwise than between two packets
}

// packet is a packet with a type, flags and a content.
func packet(first byte, content []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(content))), content...)
}

// publication is the content of a message.
func publication(topic string, id []byte, payload int) []byte {
	content := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	return append(append(append(content, topic...), id...), make([]byte, payload)...)
}

// parseAll is bounded's twin that has everything before it begins.
func parseAll(in []byte, most int) (p parsed) {
	for len(in) > 0 {
		size, n := binary.Uvarint(in[1:min(len(in), maxHeader)])
		if n <= 0 {
			p.Ended = true
			return p
		}
		whole := 1 + n + int(size)
		if int(size) <= most {
			p.Given = append(p.Given, in[:min(whole, len(in))]...)
			p.Ended = len(in) < whole
			in = in[min(whole, len(in)):]
			continue
		}
		if in[0]>>4 != typePublish || len(in) < whole {
			p.Ended = true
			return p
		}
		content, first := in[1+n:whole], in[0]
		in = in[whole:]
		topic, rest := content[2:], 2+int(binary.BigEndian.Uint16(content))
		id := []byte{}
		if qos := first >> 1 & 3; qos == 3 || rest+2*min(int(qos), 1) > len(content) {
			p.Ended = true
			return p
		} else if qos > 0 {
			id = content[rest : rest+2]
		}
		p.Cut = append(p.Cut, string(topic[:rest-2]))
		if len(id) > 0 {
			p.Given = append(p.Given, packet(first, publication(leftOut, id, 0))...)
		}
	}
	return p
}

func parse(in io.Reader, most int) (p parsed) {
	b := &bounded{in: bufio.NewReaderSize(in, 16), max: most, cut: func(topic string, _ int) { p.Cut = append(p.Cut, topic) }}
	var err error
	p.Given, err = io.ReadAll(b)
	p.Ended = err != nil
	return p
}

// inPieces reads a few bytes at a time.
type inPieces struct {
	io.Reader
	random *rand.Rand
}

func (r inPieces) Read(p []byte) (int, error) {
	return r.Reader.Read(p[:min(len(p), 1+r.random.IntN(7))])
}

func checkParse(t *testing.T, in []byte, most int) {
	t.Helper()
	want := parseAll(in, most)
	for name, r := range map[string]io.Reader{
		"at once":      bytes.NewReader(in),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(in)),
		"in pieces":    inPieces{bytes.NewReader(in), rand.New(rand.NewPCG(1, uint64(len(in))))},
		"with its end": iotest.DataErrReader(bytes.NewReader(in)),
	} {
		got := parse(r, most)
		if got.Ended && want.Ended { // how much of a packet without an end is given does not matter
			got.Given = got.Given[:min(len(got.Given), len(want.Given))]
			want.Given = want.Given[:len(got.Given)]
		}
		if diff := cmp.Diff(want, got, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
			t.Fatalf("%s, of %q (-want +got):\n%s", name, in, diff)
		}
	}
}

func TestPacketsAreBounded(t *testing.T) {
	id := []byte{1, 2}
	small, large := packet(0x32, publication("a/b", id, 20)), packet(0x32, publication("c/d", id, 200))
	for name, in := range map[string][]byte{
		"nothing":                            nil,
		"small":                              small,
		"large":                              large,
		"large between small":                bytes.Join([][]byte{small, large, small}, nil),
		"two large":                          bytes.Join([][]byte{large, large, {0xd0, 0}}, nil),
		"large without acknowledgement":      bytes.Join([][]byte{packet(0x30, publication("e", nil, 1000)), small}, nil),
		"large, retained and repeated":       packet(0x3d, publication("f", id, 1000)),
		"as large as it may be":              packet(0x30, publication("g", nil, 61)),
		"one byte more":                      packet(0x30, publication("g", nil, 62)),
		"a topic longer than the packet":     packet(0x32, append([]byte{0xff, 0xff}, make([]byte, 100)...)),
		"no room for the id":                 packet(0x32, publication(string(make([]byte, 100)), nil, 1)),
		"a quality that is none":             packet(0x36, publication("h", id, 100)),
		"large and no message":               packet(0x90, make([]byte, 100)),
		"a length without an end":            {0x30, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a length in more bytes than needed": bytes.Join([][]byte{{0x30, 0x84, 0x80, 0x00, 0, 1, 'i', 'x'}, large}, nil),
		"no length at all":                   {0x30, 0x00},
		"the topic of what is left out":      packet(0x32, publication(leftOut, id, 200)),
		"the largest there can be":           {0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'i'},
	} {
		t.Run(name, func(t *testing.T) {
			for end := range len(in) + 1 {
				checkParse(t, in[:end], 64)
			}
		})
	}
}

func FuzzPackets(f *testing.F) {
	id := []byte{1, 2}
	f.Add(bytes.Join([][]byte{packet(0x32, publication("a", id, 10)), packet(0x32, publication("b", id, 100)), {0xd0, 0}}, nil))
	f.Add(packet(0x90, make([]byte, 100)))
	f.Fuzz(func(t *testing.T, in []byte) { checkParse(t, in, 64) })
}

// endless gives huge messages and no memory to them.
type endless struct{ head, rest int }

func (e *endless) Read(p []byte) (int, error) {
	const huge = 8 << 20
	whole := append(packet(0x32, nil)[:1], binary.AppendUvarint(nil, huge)...)
	whole = append(whole, publication("koupleless_dev/anybody/base/heart", []byte{1, 2}, 0)...)
	if e.rest == 0 {
		e.head, e.rest = 0, huge+1+len(binary.AppendUvarint(nil, huge))
	}
	n := min(len(p), e.rest)
	clear(p[:n])
	if e.head < len(whole) {
		e.head += copy(p[:n], whole[e.head:])
	}
	e.rest -= n
	return n, nil
}

// Huge messages take no memory: what the library is given instead is all that it makes
// room for.
func TestHugeMessagesTakeNoMemory(t *testing.T) {
	const rounds, most = 64, 16 << 20 // others allocate too
	cut := 0
	b := &bounded{in: bufio.NewReaderSize(&endless{}, wireBuffer), max: 320 << 10, cut: func(string, int) { cut++ }}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		p, err := packets.ReadPacket(b)
		if err != nil {
			t.Fatal(err)
		}
		if m := p.(*packets.PublishPacket); m.TopicName != leftOut || len(m.Payload) > 0 || m.MessageID != 0x0102 {
			t.Fatalf("given %v", m)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > most || cut != rounds {
		t.Errorf("%d bytes were allocated for %d huge messages", took, cut)
	}
}

// counts counts what was dropped, by reason.
type counts struct {
	tunnel.Meter
	mu  sync.Mutex
	all map[string]int
}

func newCounts() *counts { return &counts{Meter: tunnel.NoMeter, all: map[string]int{}} }

func (c *counts) Dropped(_, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[reason]++
}

func (c *counts) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[reason]
}

// A stranger's huge messages do not cost the connection, and a sound base is heard
// among them.
func TestASoundBaseIsHeardAmongHugeMessages(t *testing.T) {
	const huge, rounds = 8 << 20, 64
	broker := newBroker(t)
	tun, s, dropped := countedOn(t, broker, func(c *Config) { c.ProbeEvery, c.Timeout = time.Minute, 30*time.Second }) // however slow it is here
	tun.Follow(tunnel.Heartbeat{Base: id(1)})
	tunneltest.Await(t, "followed", tun.hears(1))
	payload := bytes.Repeat([]byte{'x'}, huge)
	for n := range rounds {
		if err := broker.Publish("koupleless_dev/anybody/base/heart", payload, false); err != nil {
			t.Fatal(err)
		}
		say(t, broker, id(1))
		tunneltest.Await(t, "the sound base's list", func() bool { return s.Recorded().Lists(id(1)) == n+1 })
	}
	if n := dropped.of("too_large"); n != rounds {
		t.Errorf("%d of %d were counted", n, rounds)
	}
	if r := s.Recorded(); r.Ups() != 1 || !r.Up() {
		t.Errorf("the connection came up %d times, is up: %t", r.Ups(), r.Up())
	}
}

// A packet that cannot be read ends the connection instead of being waited for.
func TestAPacketThatCannotBeReadEndsTheConnection(t *testing.T) {
	in := bytes.NewReader(packet(0x90, make([]byte, 100)))
	b := &bounded{in: bufio.NewReader(in), max: 64, cut: func(string, int) {}}
	if _, err := io.ReadAll(b); !errors.Is(err, errPacket) {
		t.Errorf("%v, want %v", err, errPacket)
	}
}
