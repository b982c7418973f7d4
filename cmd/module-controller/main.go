// Command module-controller makes each Koupleless base that it hears of a
// Kubernetes Node and each module a Pod on it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{env: environment(os.Environ()), out: os.Stdout, run: run}
	if p.env["GOGC"] == "" {
		debug.SetGCPercent(heapGrowth)
	}
	err := p.root().ExecuteContext(ctx)
	stop()
	switch {
	case errors.As(err, &logged{}):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// heapGrowth is how much the heap may grow before it is collected, in percent of what is in
// use, unless GOGC says otherwise. Half of Go's default: a fleet makes little garbage, and the
// room kept for it is large.
const heapGrowth = 50

// logged is an error that the log tells of already.
type logged struct{ error }

func (l logged) Unwrap() error { return l.error }

// environment gives variables by name, of "name=value".
func environment(all []string) map[string]string {
	env := make(map[string]string, len(all))
	for _, variable := range all {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return env
}
