package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	networking "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"

	httptunnel "module-controller/tunnel/http"
)

// ownAndAPIServer gives the addresses, known without asking anybody, that no base has: the
// API server's and this Pod's.
//
// Loopback addresses are not among them: they are every host's, and refused until a
// setting allows them.
func (c *config) ownAndAPIServer() (all []netip.Prefix) {
	hosts := []string{c.apiHost, c.podIP}
	if c.kubeconfig != "" {
		if api, err := restConfig(c); err == nil { // else it is told as a fault
			hosts = append(hosts, hostOf(api))
		}
	}
	for _, host := range hosts {
		if a, err := netip.ParseAddr(host); err == nil && !a.Unmap().IsLoopback() {
			a = a.Unmap().WithZone("")
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return all
}

// towardsBases is the configuration of the tunnel over HTTP with all that no base has as its
// address. Bases over MQTT tell their own address too, and probes go there. Members are at
// the addresses that their Leases tell: without the tunnel over HTTP they tell none.
func (c *config) towardsBases(isMember func(netip.Addr) bool) httptunnel.Config {
	http := c.http
	http.Reserved = func(a netip.Addr) bool { return !a.IsLoopback() && isMember(a) }
	http.Denied = slices.Concat(http.Denied, c.ownAndAPIServer(), c.services)
	return http
}

// dialerOf connects to where a probe asks, if a base may be there.
func dialerOf(c httptunnel.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Control: c.Control()}).DialContext
}

// hostOf gives the host of an API server, which may be written without a scheme.
func hostOf(api *rest.Config) string {
	u, _, err := rest.DefaultServerUrlFor(api)
	if err != nil {
		return ""
	}
	return (&url.URL{Host: u.Host}).Hostname()
}

const (
	// The networks of Services are asked for until there is an answer, every
	// serviceNetworksRetry, for serviceNetworksTimeout at most.
	serviceNetworksTimeout = 10 * time.Second
	serviceNetworksRetry   = 500 * time.Millisecond
)

// serviceNetworks gives the networks of Services. One that bases were in would make this
// program send requests to whatever serves there.
func serviceNetworks(ctx context.Context, c networking.ServiceCIDRInterface) (all []netip.Prefix, err error) {
	ended := wait.PollUntilContextTimeout(ctx, serviceNetworksRetry, serviceNetworksTimeout, true, func(ctx context.Context) (bool, error) {
		list, listErr := c.List(ctx, metav1.ListOptions{})
		if err = listErr; err != nil {
			// Waiting changes nothing where they may not be read, or there are none.
			return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsUnauthorized(err), nil
		}
		for _, item := range list.Items {
			for _, cidr := range item.Spec.CIDRs {
				if p, err := netip.ParsePrefix(cidr); err == nil {
					all = append(all, p)
				}
			}
		}
		return true, nil
	})
	if err == nil {
		err = ended
	}
	if err != nil {
		return nil, fmt.Errorf("list ServiceCIDRs: %w", err)
	}
	return all, nil
}

// denyServices has no base be in the networks of Services. Where they cannot be found out
// one warning says what to do.
func denyServices(ctx context.Context, cfg *config, log *zap.Logger) {
	networks, err := askServiceNetworks(ctx, cfg)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		log.Warn("networks of Services are not known, so bases with an address in them are not refused: name them in HTTP_TUNNEL_DENIED_CIDRS", zap.Error(err))
	default:
		cfg.services = networks
		log.Debug("no base may be in the networks of Services", zap.Stringers("networks", networks))
	}
}

func askServiceNetworks(ctx context.Context, cfg *config) ([]netip.Prefix, error) {
	api, err := restConfig(cfg)
	if err != nil {
		return nil, err
	}
	api.Timeout = dialTimeout
	c, err := kubernetes.NewForConfig(api)
	if err != nil {
		return nil, err
	}
	return serviceNetworks(ctx, c.NetworkingV1().ServiceCIDRs())
}
