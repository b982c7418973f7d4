package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Final marks an error after which it makes no sense to try again.
func Final(err error) error { return final{err} }

// poll is how often Until looks. A condition is looked at often, so that what a
// test measures is not the looking.
const poll = 50 * time.Millisecond

// Until waits until check gives no error, and returns the last one it gave when
// ctx ends first.
func Until(ctx context.Context, check func() error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := check()
		var f final
		if err == nil || errors.As(err, &f) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited until %w: %w", context.Cause(ctx), err)
		}
	}
}
