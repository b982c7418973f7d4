// Command controlplane builds the programs of the control plane that end-to-end
// tests run on, so that no test's deadline has to cover it. It does nothing where
// they are built already. E2E_KUBERNETES_VERSION chooses the version.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"module-controller/e2e/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := controlplane.Build(ctx, controlplane.Version(), os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
