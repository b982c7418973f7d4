package httptunnel

import (
	"context"
	"errors"
	"net/netip"
)

// Workloads are the places in which bases run, as the cluster knows them: its Pods.
type Workloads interface {
	// At gives the workload that alone has an address. It returns at once, and an
	// ErrNoWorkload that says why nobody at that address may be a base.
	At(netip.Addr) (Workload, error)
	// OfToken gives the workload that a bearer token was issued for: an ErrNoWorkload if
	// it is nobody's who may be a base, an ErrUnreviewed if that could not be found out.
	OfToken(ctx context.Context, token string) (Workload, error)
	// Declaring gives the name of a live workload that declares an identity; empty for
	// none. It returns at once.
	Declaring(identity string) string
}

// Workload is one place in which a base may run.
type Workload struct {
	// Name names it for all time: "namespace/name/uid" of a Pod.
	Name string
	// Addresses are its own; nobody else has them while it lives.
	Addresses []netip.Addr
	// Identity is the identity that whoever made it declared; empty for none.
	Identity string
}

// ErrNoWorkload: the sender is no workload that may be a base. It is returned wrapped.
var ErrNoWorkload = errors.New("no workload that may be a base")

// ErrUnreviewed: the token could not be reviewed now, and may be good. It is returned
// wrapped.
var ErrUnreviewed = errors.New("token could not be reviewed")
