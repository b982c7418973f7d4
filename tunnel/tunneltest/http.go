package tunneltest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// ops is how an asynchronous command goes.
type ops struct {
	status, message string
	started, ended  time.Time
	throwable       object
}

// maxBody is what arklet's server reads at the most, in bytes.
const maxBody = 1 << 20

// HTTPFleet serves bases over HTTP, each on a port of its own, and announces them.
type HTTPFleet struct {
	// Endpoint is where heartbeats go, such as http://127.0.0.1:7777.
	Endpoint string
	Bases    []*Base
}

// Run serves and announces until ctx ends. It returns an error where a base cannot
// listen.
func (f *HTTPFleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, b := range f.Bases {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(b.IP, "0"))
		if err != nil {
			return fmt.Errorf("listen for base %s: %w", b.Identity, err)
		}
		server := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
		wg.Go(func() { _ = server.Serve(l) })
		wg.Go(func() {
			<-ctx.Done()
			_ = server.Close()
		})
		port := l.Addr().(*net.TCPAddr).Port
		wg.Go(func() { f.announce(ctx, b, port) })
	}
	<-ctx.Done()
	return nil
}

func (f *HTTPFleet) announce(ctx context.Context, b *Base, port int) {
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	period := b.Heartbeat
	if period == 0 {
		period = 12 * time.Second
	}
	for {
		if faults := b.Faults(); !faults.Silent && !faults.NoHeartbeat {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Endpoint+"/heartbeat", bytes.NewReader(encode(b.heartbeat(port))))
			if err == nil {
				req.Header.Set("Content-Type", "application/json")
				if resp, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}
		}
		select {
		case <-time.After(period):
		case <-ctx.Done():
			return
		}
	}
}

// ServeHTTP answers as arklet's server does: 200 without a length, and the
// connection is closed.
func (b *Base) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := b.Faults()
	if f.Silent || f.Mute {
		<-r.Context().Done() // it never answers
		return
	}
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var c Command
	if err != nil || json.Unmarshal(body, &c) != nil {
		return
	}
	if f.Slow > 0 {
		time.Sleep(f.Slow)
	}
	command := strings.TrimPrefix(r.URL.Path, "/")
	b.hear(command, c)
	answer := b.answer(command, c)
	if answer == nil || (command == "installBiz" || command == "uninstallBiz") && b.loses() {
		panic(http.ErrAbortHandler)
	}
	if b.Runtime == "2.1.11" && answer["errorStackTrace"] == nil && answer["code"] != "CMD_NOT_FOUND" {
		answer["baseIdentity"] = b.Identity
	}
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(answer))
	if flush, ok := w.(http.Flusher); ok {
		flush.Flush()
	}
}

// commands are what help lists.
func (b *Base) commands() []string {
	list := []string{"help", "installBiz", "uninstallBiz", "switchBiz", "queryAllBiz", "queryBizOps", "health"}
	if !b.old() {
		list = append(list, "batchInstallBiz")
	}
	return list
}

func (b *Base) answer(command string, c Command) object {
	switch command {
	case "health":
		return b.health()
	case "queryAllBiz":
		return object{"code": "SUCCESS", "data": b.list()}
	case "help":
		list := []any{}
		for _, id := range b.commands() {
			list = append(list, object{"id": id, "desc": id})
		}
		return object{"code": "SUCCESS", "data": list}
	case "installBiz", "uninstallBiz", "switchBiz":
		return b.operate(command, c)
	case "queryBizOps":
		return b.progress(c)
	}
	return object{"code": "CMD_NOT_FOUND", "message": "please follow the doc"}
}

func (b *Base) operate(command string, c Command) object {
	do := map[string]func(Command) result{"installBiz": b.install, "uninstallBiz": b.uninstall, "switchBiz": b.switchTo}[command]
	if !c.Async || command == "switchBiz" {
		r := do(c)
		if r.code == "" {
			return nil
		}
		return r.write(b, b.spell, false)
	}
	b.mu.Lock()
	if b.requests[c.RequestID] != nil {
		b.mu.Unlock()
		return object{"code": "FAILED", "message": fmt.Sprintf("The request corresponding to the requestId(%s) has been executed.", c.RequestID)}
	}
	o := &ops{status: "EXECUTING", started: b.now()}
	b.requests[c.RequestID] = o
	b.mu.Unlock()
	go func() {
		r := do(c)
		b.mu.Lock()
		defer b.mu.Unlock()
		o.status, o.ended = "SUCCEEDED", b.now()
		if r.code != "SUCCESS" {
			o.status, o.message = "FAILED", r.opText
			if len(r.chain) > 0 {
				o.message, o.throwable = r.chain[0], throwable(r.chain)
			}
		}
	}()
	return b.progress(c)
}

func (b *Base) progress(c Command) object {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.requests[c.RequestID]
	if o == nil {
		return object{"code": "FAILED", "message": "Not found the corresponding ops record."}
	}
	data := object{"requestId": c.RequestID, "status": o.status, "startTimestamp": o.started.UnixMilli(), "endTimestamp": 0, "elapsedTime": 0}
	if !o.ended.IsZero() {
		data["endTimestamp"], data["elapsedTime"] = o.ended.UnixMilli(), o.ended.Sub(o.started).Milliseconds()
	}
	if o.message != "" {
		data["message"] = o.message
	}
	if o.throwable != nil {
		data["throwable"] = o.throwable
	}
	return object{"code": "SUCCESS", "data": data}
}

// throwable writes exceptions as the runtime's JSON has them: each in the cause of
// the one around it.
func throwable(chain []string) object {
	var cause object
	for _, text := range slices.Backward(chain) {
		kind, message, _ := strings.Cut(text, ": ")
		o := object{"@type": kind, "localizedMessage": message, "message": message, "stackTrace": []any{}}
		if cause != nil {
			o["cause"] = cause
		}
		cause = o
	}
	return object{"@type": "com.alipay.sofa.koupleless.arklet.core.common.exception.ArkletRuntimeException", "message": chain[0], "cause": cause}
}
