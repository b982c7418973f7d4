// Command controlplane builds the programs of the control plane that end-to-end
// tests run on, so that no test's deadline has to cover it. It does nothing where
// they are built already. E2E_KUBERNETES_VERSION chooses the version.
// With the argument helm it builds Helm too.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"module-controller/e2e/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := controlplane.Build(ctx, controlplane.Version(), os.Stderr)
	if err == nil && slices.Contains(os.Args[1:], "helm") {
		_, err = controlplane.BuildHelm(ctx, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
