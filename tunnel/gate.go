package tunnel

import (
	"context"
	"errors"
	"time"
)

// Gate says whether this process may speak to bases. Every Tunnel is made with one
// and asks it twice for a command: in Do, so that the caller gets ErrShut, and at each
// write of the command's bytes to the connection. The second question is the one that
// protects bases: a process can be stopped between any two instructions and wake up
// long after its right ended. Listening needs no right.
//
// A connection that somebody else's process can be cut off from, as a broker's, needs
// two things more: Fresh before each new connection, and a way to cut off a replica
// that has lost its right and does not know it (Evict of tunnel/mqtt).
type Gate interface {
	// Valid says whether bytes may leave now. It returns at once.
	Valid() bool
	// Fresh waits until the right to speak was proved anew after a time: a
	// connection that was cut may have been cut because of somebody who has the
	// right now. It returns ctx's error when that ends first.
	Fresh(ctx context.Context, since time.Time) error
}

// ErrShut says that this process may not speak to bases now.
var ErrShut = errors.New("not permitted to speak to bases now")

// Open is the Gate of a process that may always speak.
var Open Gate = open{}

type open struct{}

func (open) Valid() bool                            { return true }
func (open) Fresh(context.Context, time.Time) error { return nil }
