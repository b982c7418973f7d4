package shard

import "fmt"

// Phase is what a replica may do for a base. It grows as a base is claimed and handed
// over: callers compare, from Owned on the base is ours, and from Draining on nothing
// new begins.
type Phase int

const (
	// Unowned: the base is not ours.
	Unowned Phase = iota
	// Owned: everything is permitted.
	Owned
	// Draining: the base is about to be handed over. What is in flight may end,
	// nothing new begins.
	Draining
	// Forced: the base is handed over whatever is in flight. Nothing is written of it
	// any more.
	Forced
)

var phaseNames = [...]string{Unowned: "unowned", Owned: "owned", Draining: "draining", Forced: "forced"}

// String gives the phase's name in lower case.
func (p Phase) String() string {
	if p < 0 || int(p) >= len(phaseNames) {
		return fmt.Sprintf("Phase(%d)", int(p))
	}
	return phaseNames[p]
}
