package lifecycle

import "fmt"

// Phase is how far a base has come in this replica. Phases are ordered, so "at least
// draining" is a comparison.
type Phase int

// The phases. A base goes forward, with three exceptions: from Suspended it comes back to
// where its claim says, from Draining or Drained it comes back to Serving when it stays
// after all, and from anywhere it falls to Foreign when its claim is lost.
const (
	// Unknown: no Turn has reconciled it yet.
	Unknown Phase = iota
	// Foreign: it is not ours. What it reports is recorded and nothing is done.
	Foreign
	// Suspended: its Lease is ours, but the claim is not valid now, because the API
	// server is away. What is in flight goes on; nothing is sent and nothing written.
	Suspended
	// Serving: the claim is valid.
	Serving
	// Draining: it is handed off as soon as nothing is in flight. No command is sent.
	Draining
	// Drained: it may be another's at any moment. Nothing is written.
	Drained
	// Gone: its Node is deleted, or it never had one. Its record is dropped.
	Gone
)

var phaseNames = [...]string{"unknown", "foreign", "suspended", "serving", "draining", "drained", "gone"}

// String gives the phase in lower case, for logs and transcripts.
func (p Phase) String() string {
	if p < Unknown || p > Gone {
		return fmt.Sprintf("phase(%d)", int(p))
	}
	return phaseNames[p]
}

// served says whether what is known of the base was learned under our claim.
func (p Phase) served() bool {
	switch p {
	case Suspended, Serving, Draining, Drained:
		return true
	default:
		return false
	}
}
