package provider

import "time"

// Meter counts what the provider does. Its methods return at once and may be
// called from any goroutine.
type Meter interface {
	// Synced counts one reconciliation of a base and how long it took.
	Synced(took time.Duration, failed bool)
	// Wrote counts one write to the API server, by object: "node" or "pod".
	Wrote(object string, err error)
	// BoundToReady observes the time from a pod's binding to its readiness, whose
	// ends the API has in whole seconds.
	BoundToReady(time.Duration)
	// Commanded counts what became of a command to a base by what the base's list shows then:
	// asked, once for each time that it was sent, and done, failed or lost.
	Commanded(verb, result string)
	// Link says whether this process's link of a tunnel is up.
	Link(tunnel string, up bool)
	// Conflict counts a base found to share its identity with another live one.
	Conflict()
	// Dropped counts a heartbeat that was refused or not believed, and a base that was let
	// go because it never answered. reason has few values.
	Dropped(tunnel, reason string)
	// Probed counts one probe: Startup, Readiness or Liveness, and successful, failed or
	// unknown.
	Probed(probe, result string)
	// EventsDropped counts Events that are not told. reason has few values.
	EventsDropped(reason string, n int)
}

// NoMeter counts nothing.
var NoMeter Meter = noMeter{}

type noMeter struct{}

func (noMeter) Synced(time.Duration, bool) {}
func (noMeter) Wrote(string, error)        {}
func (noMeter) BoundToReady(time.Duration) {}
func (noMeter) Commanded(string, string)   {}
func (noMeter) Link(string, bool)          {}
func (noMeter) Conflict()                  {}
func (noMeter) Dropped(string, string)     {}
func (noMeter) Probed(string, string)      {}
func (noMeter) EventsDropped(string, int)  {}

// Census is how the bases are at one moment, for gauges and for who asks whether all is
// well.
type Census struct {
	Ready, NotReady int
	// Modules are the listed ones that serve; Unmanaged the listed ones that no pod
	// asked for.
	Modules, Unmanaged int
	// Queued is how many bases wait for a worker.
	Queued int
	// NodesLag and PodsLag are how far behind the watches of Nodes and pods are: see package
	// watchlag.
	NodesLag, PodsLag time.Duration
	// Unread is what may not be read, and what follows from that; empty for nothing.
	Unread string
}
