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
	"syscall"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.LookupEnv)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// start reads the configuration and runs until ctx ends.
func start(ctx context.Context, args []string, env func(string) (string, bool)) error {
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
