package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/network"
)

// AtNetwork has a replica serve the kubelet's API at the address of e2e/network, to which the
// API server proxies.
var AtNetwork = "POD_IP=" + network.Address.String()

// MainInNetwork is Main of tests in a network of their own, which leads nowhere: what they need
// is fetched and built before, also that of others.
func (c *Cluster) MainInNetwork(m *testing.M, others ...func(context.Context) error) {
	err := network.Enter(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
		defer cancel()
		_, err := controlplane.Build(ctx, controlplane.Version(), os.Stderr)
		err = errors.Join(err, harness.Fetch(ctx))
		for _, fetch := range others {
			err = errors.Join(err, fetch(ctx))
		}
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c.Main(m)
}
