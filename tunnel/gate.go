package tunnel

import (
	"context"
	"errors"
	"time"
)

// Gate says whether this process may speak to bases. It is asked where bytes
// leave, at the last moment, because a process can be stopped between any two
// instructions and wake up long after its right ended.
type Gate interface {
	// Valid says whether bytes may leave now.
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
