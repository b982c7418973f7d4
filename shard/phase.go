package shard

import "fmt"

// Phase is what a replica may do for a base that its Lease says it owns. The order is
// the rule: each phase permits less than the one before, except for Unowned, which
// permits nothing. Only the base's Lease takes a base to Unowned.
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
