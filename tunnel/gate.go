package tunnel

import (
	"context"
	"errors"
	"time"
)

// Gate tells whether this process may send to bases. Every Tunnel is made with one and
// checks it twice for a command: in Do, so that the caller gets ErrShut, and on every
// write of the command's bytes to the connection. The second check is the one that
// protects bases: a process can be paused between any two instructions and resume long
// after its claims expired. Receiving needs no permission.
//
// A tunnel through a broker needs two things more. It calls Fresh before each new
// connection, and it can evict: have the broker close the connection of a replica that
// lost its claims and may not know it (Evict of tunnel/mqtt, called by election).
type Gate interface {
	// Valid reports whether bytes may leave now. It returns at once.
	Valid() bool
	// Fresh waits until the permission has been renewed after since. A connection that
	// was lost may have been closed by whoever has the permission now. It returns ctx's
	// error if that ends first.
	Fresh(ctx context.Context, since time.Time) error
}

// ErrShut: this process may not send to bases now.
var ErrShut = errors.New("not permitted to send to bases now")

// Open is a Gate that is always open.
var Open Gate = open{}

type open struct{}

func (open) Valid() bool                            { return true }
func (open) Fresh(context.Context, time.Time) error { return nil }
