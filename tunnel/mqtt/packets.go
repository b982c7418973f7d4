package mqtttunnel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	typePublish = 3 // MQTT 3.1.1, section 2.2.1
	maxHeader   = 5 // bytes: the type, and a length of one to four
	maxQoS      = 2
)

// leftOut is the topic of what the library is given in place of a message that is too
// large. No broker may deliver a topic with this character.
const leftOut = "module-controller/\x00left-out"

// errPacket: the broker does not keep to MQTT 3.1.1, so nothing behind this packet can be
// read either.
var errPacket = errors.New("broker sent a packet that cannot be read")

// bounded reads the packets of a broker and bounds them before room is made for them:
// the library makes as much as the first bytes of a packet ask for, up to 256 MiB. A
// message that is too large is read and forgotten; the library gets an empty one, which
// it acknowledges, so that the broker goes on with the next. Any other packet that is
// too large ends the connection.
//
// NB: what is read and forgotten still takes its time on the connection, and others wait
// for it. Only a limit of the broker helps against that.
type bounded struct {
	in  *bufio.Reader
	max int // bytes behind a packet's first byte and its length
	// cut is told of each message that is left out, from the reading goroutine.
	cut func(topic string, size int)

	head  [maxHeader]byte
	ready []byte // of the packet, to be given first
	rest  int    // bytes of the packet that are to come from in, at most max
}

func (b *bounded) Read(p []byte) (int, error) {
	for len(b.ready) == 0 && b.rest == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	if len(b.ready) > 0 {
		n := copy(p, b.ready)
		b.ready = b.ready[n:]
		return n, nil
	}
	n, err := b.in.Read(p[:min(len(p), b.rest)])
	b.rest -= n
	if b.rest > 0 {
		err = within(err)
	}
	return n, err
}

// next begins a packet. It may leave nothing to be given: a message without an
// acknowledgement that was left out.
func (b *bounded) next() error {
	first, err := b.in.ReadByte()
	if err != nil {
		return err
	}
	b.head[0] = first
	size, n, err := b.length()
	switch {
	case err != nil:
		return err
	case size <= b.max:
		b.ready, b.rest = b.head[:1+n], size
		return nil
	case first>>4 != typePublish:
		return fmt.Errorf("%w: type %d with %d bytes, at most %d are read", errPacket, first>>4, size, b.max)
	}
	return b.leaveOut(first, size)
}

// length reads the length of a packet, and gives how many bytes that had.
func (b *bounded) length() (size, n int, err error) {
	for n = 1; n < maxHeader; n++ {
		c, err := b.in.ReadByte()
		if err != nil {
			return 0, 0, within(err)
		}
		b.head[n] = c
		if size |= int(c&0x7f) << (7 * (n - 1)); c < 0x80 {
			return size, n, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: its length has more than %d bytes", errPacket, maxHeader-1)
}

// leaveOut reads a message of size bytes and keeps none of them but what is needed to
// acknowledge it.
func (b *bounded) leaveOut(first byte, size int) error {
	var length [2]byte
	if _, err := io.ReadFull(b.in, length[:]); err != nil {
		return within(err)
	}
	qos, id := first>>1&3, 0
	if qos > 0 {
		id = 2
	}
	body := size - len(length) - int(binary.BigEndian.Uint16(length[:])) - id
	if body < 0 || qos > maxQoS {
		return fmt.Errorf("%w: a message of %d bytes with a longer topic, or of quality %d", errPacket, size, qos)
	}
	head := make([]byte, size-len(length)-body) // the topic, and the packet's id
	if _, err := io.ReadFull(b.in, head); err != nil {
		return within(err)
	}
	if _, err := b.in.Discard(body); err != nil {
		return within(err)
	}
	topic, packetID := head[:len(head)-id], head[len(head)-id:]
	b.cut(string(topic), size)
	if qos > 0 {
		b.ready = []byte{first, byte(len(length) + len(leftOut) + id), 0, byte(len(leftOut))}
		b.ready = append(append(b.ready, leftOut...), packetID...)
	}
	return nil
}

// within is an error inside a packet, where no end is a proper one.
func within(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
