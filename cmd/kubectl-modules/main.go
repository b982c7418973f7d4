// Command kubectl-modules is a plugin of kubectl that shows a fleet of bases and modules,
// who serves what, and why something is not ready. On the path it is kubectl modules.
//
// It acts with the caller's own rights, and only reads: but for drain and move, which write what
// is asked of a member into its membership Lease, and clear-retained --yes, which deletes retained
// commands at a broker. It ends with 0 where all is well, with 1 where
// something is wrong, and with 2 where it could not find out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// version is set when a release is built.
var version = "dev"

// Exit codes.
const (
	exitWrong   = 1 // something is wrong with the fleet
	exitUnknown = 2 // it could not be found out
)

// errWrong says that something is wrong, which was told already.
var errWrong = errors.New("something is wrong")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}).ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// exitCode tells an error that was not told yet.
func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errWrong):
		return exitWrong
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	return exitUnknown
}
