package javabase

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Answer is what a base said to a command.
type Answer struct {
	Code    string          `json:"code"` // SUCCESS, FAILED, CMD_PROCESS_INTERNAL_ERROR…
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
	// Trace is Java's stack trace, if the command threw.
	Trace string `json:"errorStackTrace"`
}

// RootCause is the first line of the last cause in the trace, with its class;
// empty if the trace names no cause.
func (a Answer) RootCause() string {
	i := strings.LastIndex(a.Trace, "Caused by: ")
	if i < 0 {
		return ""
	}
	line, _, _ := strings.Cut(a.Trace[i+len("Caused by: "):], "\n")
	return strings.TrimSpace(line)
}

// Module is an entry of a base's own list.
type Module struct {
	Name    string `json:"bizName"`
	Version string `json:"bizVersion"`
	State   string `json:"bizState"` // in lower case, though runtimes differ
}

// maxAnswer bounds an answer, in bytes; stack traces are kilobytes.
const maxAnswer = 4 << 20

// Command gives the base a command, such as installBiz or health, past any
// controller. A nil body is sent as {}. An answer that tells of a failure is an
// answer, not an error.
func (b *Base) Command(ctx context.Context, name string, body any) (Answer, error) {
	a, err := b.post(ctx, name, body)
	if err != nil {
		return Answer{}, fmt.Errorf("command %s to base %s: %w", name, b.o.Identity, err)
	}
	return a, nil
}

func (b *Base) post(ctx context.Context, name string, body any) (a Answer, err error) {
	if body == nil {
		body = struct{}{} // a base refuses an empty body
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL()+"/"+name, bytes.NewReader(payload))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("status %s", resp.Status)
	}
	return a, json.Unmarshal(raw, &a)
}

// Modules asks the base which modules it has, in its own order.
func (b *Base) Modules(ctx context.Context) ([]Module, error) {
	a, err := b.Command(ctx, "queryAllBiz", nil)
	if err != nil {
		return nil, err
	}
	var list []Module
	if err := json.Unmarshal(a.Data, &list); err != nil {
		return nil, fmt.Errorf("decode the modules of base %s: %w", b.o.Identity, err)
	}
	for i := range list {
		list[i].State = strings.ToLower(list[i].State)
	}
	return list, nil
}

// Install installs a module that [Build] made, as a controller would.
func (b *Base) Install(ctx context.Context, name, version string) (Answer, error) {
	return b.Command(ctx, "installBiz", map[string]string{
		"bizName": name, "bizVersion": version, "bizUrl": b.o.Artifacts.Module(name, version),
	})
}
