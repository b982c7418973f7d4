// Command module-controller makes each Koupleless base that it hears of a
// Kubernetes Node and each module a Pod on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], environment(os.Environ()))
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, &logged{}):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

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

// start reads the configuration and runs until ctx ends.
func start(ctx context.Context, args []string, env map[string]string) error {
	for _, arg := range args {
		switch arg {
		case "--version":
			fmt.Println(version)
			return nil
		case "--print-settings":
			return printSettings(os.Stdout)
		case "--print-metrics":
			return printMetrics(os.Stdout)
		}
	}
	cfg, err := readConfig(args, env)
	if err != nil {
		return err
	}
	if err := setConnectionChecks(); err != nil {
		return err
	}
	return run(ctx, cfg)
}
