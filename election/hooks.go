package election

import (
	"context"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"module-controller/tunnel"
)

// Deps are what a Replica runs with. All are needed.
type Deps struct {
	// Members is used for membership Leases alone and should have a connection of its
	// own. Bases should refuse to write while Valid says no.
	Members, Bases coordinationclient.LeasesGetter
	Nodes          Nodes
	Hooks          Hooks
}

// Hooks are what a Replica tells others and has done by them.
type Hooks interface {
	// Changed is called when the claim of a base was gained or lost, or its phase
	// changed. It returns at once.
	Changed(tunnel.BaseID)
	// Evict has the broker end what an incarnation still has open there that is to be
	// expired, or that lost the broker. It is called before the member is expired and
	// may take half a second.
	Evict(ctx context.Context, incarnation string) error
}

// Nodes tells of the Nodes of bases. All return at once.
type Nodes interface {
	// HasNode says whether a base has a Node.
	HasNode(tunnel.BaseID) bool
	// LeaseMeta gives more labels for a base's Lease, and annotations that whoever owns the
	// base next is to know: written whenever the Lease is, and at a handover last. Those that
	// it does not name stay as they are. Neither is changed.
	LeaseMeta(tunnel.BaseID) (labels, notes map[string]string)
}

// Meter counts what a Replica does. Its methods return at once and may be called from
// any goroutine.
type Meter interface {
	// Wrote counts one write to the API server, by object: "lease".
	Wrote(object string, err error)
	// Moved counts one change of an ownership, by how: claimed, transferred, released
	// or lost.
	Moved(how string)
	// Expired counts one member that this replica expired.
	Expired()
}

// NoMeter counts nothing.
var NoMeter Meter = noMeter{}

type noMeter struct{}

func (noMeter) Wrote(string, error) {}
func (noMeter) Moved(string)        {}
func (noMeter) Expired()            {}
