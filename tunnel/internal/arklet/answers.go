package arklet

import (
	"encoding/json"
	"regexp"
	"strings"

	"module-controller/tunnel"
)

// response is a base's answer to a command: the whole body over HTTP, a part of it over
// MQTT.
type response struct {
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	Data     json.RawMessage `json:"data"`
	Trace    string          `json:"errorStackTrace"`
	Identity string          `json:"baseIdentity"`
}

type operation struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Modules json.RawMessage `json:"bizInfos"`
}

const (
	codeSuccess  = "SUCCESS"
	codeRepeat   = "REPEAT_BIZ"
	codeNotFound = "NOT_FOUND_BIZ"
	codeUnknown  = "CMD_NOT_FOUND"
)

// installed matches the message of an answer REPEAT_BIZ. It names the module by the jar.
var installed = regexp.MustCompile(`Biz: ([^\s:]{1,128}):([^\s:]{1,128}) has been installed`)

// maxInstalled is how much of a message is searched for it, in bytes: each byte costs.
const maxInstalled = 4 << 10

// answerOf converts a response. It may mislead: only the list shows what is there.
func answerOf(v tunnel.Verb, asked tunnel.ModuleKey, r response) *tunnel.Answer {
	a := &tunnel.Answer{Verb: v, Module: asked}
	var op operation
	if len(r.Data) > 0 {
		_ = json.Unmarshal(r.Data, &op) // data of another shape is ignored
	}
	switch {
	case r.Code == codeUnknown:
		a.Outcome, a.Message = tunnel.Unsupported, "the base has no such command"
	case op.Code == codeRepeat:
		a.Outcome, a.Message = tunnel.Repeated, rootCause(op.Message)
		if m := installed.FindStringSubmatch(op.Message[:min(len(op.Message), maxInstalled)]); m != nil {
			a.Installed = tunnel.ModuleKey{Name: m[1], Version: m[2]}
		}
	case op.Code == codeNotFound:
		a.Outcome, a.Message = tunnel.NotFound, rootCause(op.Message)
	case r.Code == codeSuccess && (op.Code == "" || op.Code == codeSuccess):
		a.Outcome, a.Installed = tunnel.Done, installedBy(op.Modules)
	case strings.Contains(r.Message, "conflict, exist unfinished command"),
		strings.Contains(r.Message, "has been executed"):
		a.Outcome, a.Message = tunnel.Busy, rootCause(r.Message)
	default:
		a.Outcome, a.Message = tunnel.Failed, explain(r, op)
	}
	return a
}

// installedBy reads which module was installed; zero if not reported.
func installedBy(raw json.RawMessage) tunnel.ModuleKey {
	if len(raw) == 0 {
		return tunnel.ModuleKey{}
	}
	modules, _, err := modulesOf(raw)
	if err != nil || len(modules) != 1 {
		return tunnel.ModuleKey{}
	}
	return modules[0].ModuleKey
}

// explain picks the most specific explanation.
func explain(r response, op operation) string {
	for _, text := range []string{r.Trace, op.Message, r.Message} {
		if cause := rootCause(text); cause != "" {
			return cause
		}
	}
	return "the base gave no reason"
}
