//go:build !linux

package network

import (
	"context"
	"errors"
)

// Enter has the rest of this program run in a network of its own, which needs Linux.
func Enter(func(context.Context) error) error {
	return errors.New("make a network namespace: these tests need Linux")
}
