package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// Attempt is the last command sent for a module name on a base. There is at most
// one in flight for each name.
type Attempt struct {
	tunnel.Command
	Pod  types.UID // for whom; empty for an uninstall that no pod waits for
	Sent time.Time
	// Before is what was listed when it was sent: an answer need not tell what a
	// jar turned out to be, but what is new in the list does.
	Before []tunnel.ModuleKey
	// Answer is what the base said, nil while it has said nothing.
	Answer   *tunnel.Answer
	Answered time.Time
	// Restarted says that the base was restarted, or unfollowed, after Sent: no
	// answer will come and no effect is left.
	Restarted bool
}
