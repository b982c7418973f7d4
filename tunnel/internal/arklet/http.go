package arklet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"module-controller/tunnel"
)

// DecodeHeartbeat reads the body of an HTTP heartbeat. It carries no environment:
// env is that of all bases over HTTP.
func DecodeHeartbeat(env string, body []byte) (*tunnel.Heartbeat, error) {
	var h heart
	if err := decode(body, maxOther, &h); err != nil {
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

// DecodeQuery reads the body with which a base asks over HTTP what to install, and gives
// the base's identity.
func DecodeQuery(body []byte) (identity string, err error) {
	var m metadata
	if err := decode(body, maxOther, &m); err != nil {
		return "", err
	}
	if err := tunnel.CheckIdentity(m.Identity); err != nil {
		return "", refuse(BadIdentity, "%v", err)
	}
	return m.Identity, nil
}

// DecodeResponse reads the answer to a command into r. An answer that names another
// base than r.Base is refused. The caller sets Asked, Received and Tunnel.
func DecodeResponse(c tunnel.Command, body []byte, r *tunnel.Report) error {
	resp, err := responseOf(r.Base, body, Limit(Path(c.Verb)))
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

func responseOf(b tunnel.BaseID, body []byte, limit int) (response, error) {
	var resp response
	if err := decode(body, limit, &resp); err != nil {
		return resp, err
	}
	if resp.Identity != "" {
		return resp, sameIdentity(b, resp.Identity)
	}
	return resp, nil
}

// Progress is the state of an asynchronous command.
type Progress string

// The progresses.
const (
	Accepted  Progress = "accepted"  // it is queued or running
	Succeeded Progress = "succeeded" // it ended; the list shows the result
	Refused   Progress = "refused"   // it ended otherwise: see the answer
)

// DecodeAsync reads the answer to an asynchronous command or to a poll of it. The
// answer is set once the command has ended.
func DecodeAsync(b tunnel.BaseID, c tunnel.Command, body []byte) (Progress, *tunnel.Answer, error) {
	resp, err := responseOf(b, body, maxAnswer)
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

// failure gives the outcome of a command that failed. An install that throws nothing
// found the jar's name and version installed; the record does not name them.
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

// throwable is a Java exception in an asynchronous command's record. Its own message is
// only that of the outermost wrapper.
type throwable struct {
	Type    string     `json:"@type"`
	Message string     `json:"message"`
	Cause   *throwable `json:"cause"`
}

// trace formats the exceptions as a stack trace does, the outermost first.
func (t *throwable) trace() string {
	var b strings.Builder
	for ; t != nil; t = t.Cause {
		text := t.Type
		if t.Message != "" {
			text += ": " + t.Message
		}
		b.WriteString("\nCaused by: " + tunnel.Say(text, tunnel.MaxText))
	}
	return b.String()
}

// DecodeHelp reads the commands that a base supports.
func DecodeHelp(b tunnel.BaseID, body []byte) (commands []string, err error) {
	resp, err := responseOf(b, body, maxOther)
	if err != nil {
		return nil, err
	}
	read := func(dec *json.Decoder) error {
		var e struct {
			ID string `json:"id"`
		}
		if err := dec.Decode(&e); err != nil {
			return refuse(WrongType, "help: %v", err)
		}
		commands = append(commands, e.ID)
		return nil
	}
	if _, err := each(resp.Data, maxHelp, read); err != nil {
		return nil, err
	}
	slices.Sort(commands)
	return commands, nil
}

// HasSwitch reports whether a base with these commands can switch versions.
func HasSwitch(commands []string) bool { return slices.Contains(commands, string(pathSwitch)) }

// HasOps reports whether a base with these commands reports the progress of an
// asynchronous command.
func HasOps(commands []string) bool { return slices.Contains(commands, string(pathOps)) }

// ReasonOf gives the reason of an error of this package, for metrics.
func ReasonOf(err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // errors of this package are not wrapped
		return string(e.Reason)
	}
	return fmt.Sprintf("%T", err)
}
