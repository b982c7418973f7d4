package arklet

import (
	"fmt"

	"module-controller/tunnel"
)

// Reason is why a message was refused, in a word.
type Reason string

// The reasons.
const (
	TooLarge         Reason = "too_large"
	TooDeep          Reason = "too_deep"
	NotJSON          Reason = "not_json"
	WrongType        Reason = "wrong_type"
	BadIdentity      Reason = "bad_identity"
	IdentityMismatch Reason = "identity_mismatch"
	UnknownTopic     Reason = "unknown_topic"
	BadModule        Reason = "bad_module"
)

// Error is why a message was refused.
type Error struct {
	Reason Reason
	Detail string
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

func refuse(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Detail: tunnel.Say(fmt.Sprintf(format, args...), maxDetail)}
}

// maxDetail is the length in bytes of an error's detail: it may quote a message.
const maxDetail = 200
