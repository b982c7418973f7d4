package arklet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"module-controller/tunnel"
)

// DecodeHeartbeat reads the body of an HTTP heartbeat. It carries no environment:
// env is the one that bases heard over HTTP belong to.
func DecodeHeartbeat(env string, body []byte) (*tunnel.Heartbeat, error) {
	var h heart
	if err := decode(body, &h); err != nil {
		return nil, err
	}
	if h.Metadata == nil {
		return nil, refuse(WrongType, "heartbeat without baseMetadata")
	}
	if err := tunnel.CheckIdentity(h.Metadata.Identity); err != nil {
		return nil, refuse(BadIdentity, "%v", err)
	}
	return heartOf(tunnel.BaseID{Env: env, Identity: h.Metadata.Identity}, body)
}

// DecodeResponse reads the answer to a command into r, whose Base says who should
// have answered. The caller stamps Asked, Received and Tunnel.
func DecodeResponse(c tunnel.Command, body []byte, r *tunnel.Report) error {
	resp, err := responseOf(r.Base, body)
	if err != nil {
		return err
	}
	switch c.Verb {
	case tunnel.ListModules:
		if resp.Code != codeSuccess {
			return refuse(WrongType, "list: %s %s", resp.Code, resp.Message)
		}
		r.Listed = true
		r.Modules, r.Partial, err = modulesOf(resp.Data)
	case tunnel.ReadHealth:
		if resp.Code != codeSuccess {
			return refuse(WrongType, "health: %s %s", resp.Code, resp.Message)
		}
		r.Health, err = healthOf(resp.Data)
	default:
		r.Answer = answerOf(c.Verb, c.Module, resp)
		r.Answer.RequestID = c.RequestID
	}
	return err
}

func responseOf(b tunnel.BaseID, body []byte) (response, error) {
	var resp response
	if err := decode(body, &resp); err != nil {
		return resp, err
	}
	if resp.Identity != "" {
		return resp, sameIdentity(b, resp.Identity)
	}
	return resp, nil
}

// Progress is how an asynchronous command goes.
type Progress string

// The progresses.
const (
	Accepted  Progress = "accepted"  // the base works on it, or will
	Succeeded Progress = "succeeded" // it is done; the list says what came of it
	Refused   Progress = "refused"   // it ended otherwise: see the answer
)

// DecodeAsync reads the answer to an asynchronous command, or to the question how
// it goes. The answer is set when the command ended.
func DecodeAsync(b tunnel.BaseID, c tunnel.Command, body []byte) (Progress, *tunnel.Answer, error) {
	resp, err := responseOf(b, body)
	if err != nil {
		return "", nil, err
	}
	var o ops
	if len(resp.Data) > 0 {
		_ = json.Unmarshal(resp.Data, &o) // data of another shape has no status
	}
	a := &tunnel.Answer{Verb: c.Verb, Module: c.Module, Outcome: tunnel.Done}
	progress := Refused
	switch {
	case resp.Code == codeSuccess && o.Status == "SUCCEEDED":
		progress = Succeeded
	case resp.Code == codeSuccess && o.Status == "FAILED":
		a.Outcome, a.Message = o.failure(c.Verb), o.explain()
	case resp.Code == codeSuccess && o.Status == "INITIALIZED" && o.Ended.value > 0:
		a.Outcome, a.Message = tunnel.Busy, o.explain()
	case resp.Code == codeSuccess && (o.Status == "INITIALIZED" || o.Status == "EXECUTING"):
		return Accepted, nil, nil
	default:
		a = answerOf(c.Verb, c.Module, resp)
	}
	a.RequestID = c.RequestID
	return progress, a, nil
}

// ops is a base's record of an asynchronous command. One that met another command of
// its module ends without ever leaving the status INITIALIZED.
type ops struct {
	Status    string     `json:"status"`
	Message   string     `json:"message"`
	Throwable *throwable `json:"throwable"`
	Ended     number     `json:"endTimestamp"`
}

// failure judges a command that failed. An install that throws nothing found a module
// of the jar's identity; the record does not say which.
func (o ops) failure(v tunnel.Verb) tunnel.Outcome {
	if v == tunnel.InstallModule && o.Throwable == nil && o.Message == "install biz not success!" {
		return tunnel.Repeated
	}
	return tunnel.Failed
}

func (o ops) explain() string {
	if cause := rootCause(o.Message + o.Throwable.trace()); cause != "" {
		return cause
	}
	return "the base gave no reason"
}

// throwable is a Java exception as an asynchronous command's record has it: its
// message alone is that of a wrapper.
type throwable struct {
	Type    string     `json:"@type"`
	Message string     `json:"message"`
	Cause   *throwable `json:"cause"`
}

// trace writes the exceptions as a stack trace has them, the outermost first.
func (t *throwable) trace() string {
	var b strings.Builder
	for ; t != nil; t = t.Cause {
		text := t.Type
		if t.Message != "" {
			text += ": " + t.Message
		}
		b.WriteString("\nCaused by: " + clean(text, tunnel.MaxText))
	}
	return b.String()
}

// DecodeHelp reads which commands a base has.
func DecodeHelp(b tunnel.BaseID, body []byte) (commands []string, err error) {
	resp, err := responseOf(b, body)
	if err != nil {
		return nil, err
	}
	var entries []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(resp.Data, &entries); err != nil {
		return nil, refuse(WrongType, "help: %v", err)
	}
	for _, e := range entries {
		commands = append(commands, e.ID)
	}
	slices.Sort(commands)
	return commands, nil
}

// HasSwitch and HasOps say what a base with these commands can do.
func HasSwitch(commands []string) bool { return slices.Contains(commands, string(pathSwitch)) }

// HasOps says whether a base tells how an asynchronous command goes.
func HasOps(commands []string) bool { return slices.Contains(commands, string(pathOps)) }

// ReasonOf gives the reason of an error of this package, for metrics.
func ReasonOf(err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // errors of this package are not wrapped
		return string(e.Reason)
	}
	return fmt.Sprintf("%T", err)
}
