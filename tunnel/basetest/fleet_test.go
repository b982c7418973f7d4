package basetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// speak has bases speak MQTT until the test ends, and gives who listens to them.
func speak(t *testing.T, perConnection int, bases ...*Base) (*Broker, *subscriber) {
	t.Helper()
	broker := newBroker(t)
	sub := subscribe(t, broker.Address(), "koupleless_default/+/base/+")
	during(t, func(ctx context.Context) error {
		(&MQTTFleet{Broker: broker.Address(), Bases: bases, PerConnection: perConnection, Reconnect: 100 * time.Millisecond}).Run(ctx)
		return nil
	})
	await(t, "all heartbeats", func() bool { return sub.heartbeats() >= len(bases) })
	return broker, sub
}

func command(t *testing.T, b *Broker, base *Base, name string, c any) {
	t.Helper()
	if err := b.Publish("koupleless_default/"+base.Identity()+"/"+name, encode(c), false); err != nil {
		t.Fatal(err)
	}
}

// said waits for a report of a base.
func said(t *testing.T, sub *subscriber, base *Base, what string) (data json.RawMessage) {
	t.Helper()
	await(t, "a "+what, func() bool {
		m, ok := sub.take(func(m message) bool { return m.Topic == "koupleless_default/"+base.Identity()+"/base/"+what })
		var body struct{ Data json.RawMessage }
		if ok && json.Unmarshal(m.Payload, &body) == nil {
			data = body.Data
		}
		return ok
	})
	return data
}

// Installs and questions share the threads: five long installs starve health.
func TestInstallsStarveHealth(t *testing.T) {
	b := mustNew(t, Options{Start: time.Hour})
	broker, sub := speak(t, 1, b)
	for n := range 5 {
		command(t, broker, b, installBiz, jarOf(fmt.Sprint("m", n), "1"))
	}
	command(t, broker, b, health, object{})
	await(t, "the installs to begin", func() bool { return len(states(b)) == 5 })
	await(t, "health to be queued", func() bool {
		p := b.running().commands
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.queue) == 1
	})
	if n := b.Look().Questions[health]; n != 0 {
		t.Errorf("health was begun %d times", n)
	}
	b.Restart() // ends the installs: nobody answers what was asked before
	command(t, broker, b, queryAllBiz, object{})
	if list := said(t, sub, b, "simpleBiz"); string(list) != "[]" {
		t.Errorf("list %s", list)
	}
}

func TestReportsGetLostTwiceLateAndOutOfOrder(t *testing.T) {
	b := mustNew(t, Options{})
	broker, sub := speak(t, 1, b)
	answers := func() (n int) {
		for {
			if _, ok := sub.take(func(m message) bool { return strings.HasSuffix(m.Topic, "/bizOperation") }); !ok {
				return n
			}
			n++
		}
	}
	settle := func() { // what was said before is heard
		command(t, broker, b, queryAllBiz, object{})
		said(t, sub, b, "simpleBiz")
	}
	install := func() {
		want := len(b.Look().Commands) + 1
		command(t, broker, b, installBiz, jarOf("a", "1"))
		await(t, "the command", func() bool { return len(b.Look().Commands) == want && b.Serves("a", "1") && idle(b) })
	}
	b.Set(func(f *Faults) { f.LoseAnswers = 1 })
	install()
	if settle(); answers() != 0 {
		t.Error("a lost answer came")
	}
	b.Set(func(f *Faults) { f.Duplicate = 1 })
	install()
	if settle(); answers() != 2 {
		t.Error("an answer did not come twice")
	}
	b.Set(func(f *Faults) { f.Reorder = 1 })
	install()
	if answers() != 0 {
		t.Error("an answer that is held came")
	}
	settle()
	said(t, sub, b, "bizOperation") // behind the list
	b.Set(func(f *Faults) { f.Late = 50 * time.Millisecond })
	began := time.Now()
	if settle(); time.Since(began) < 50*time.Millisecond {
		t.Error("a late report came early")
	}
}

// idle reports whether nothing is under way.
func idle(b *Base) bool {
	p := b.running().commands
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running == 0
}

func TestTwoLiveBasesWithOneIdentityBothObey(t *testing.T) {
	first, second := mustNew(t, Options{}), mustNew(t, Options{})
	broker, _ := speak(t, 2, first, second)
	command(t, broker, first, installBiz, jarOf("a", "1"))
	await(t, "both to install", func() bool { return first.Serves("a", "1") && second.Serves("a", "1") })
}

func TestSilenceEndsAsItBegan(t *testing.T) {
	b := mustNew(t, Options{Heartbeat: 20 * time.Millisecond})
	witness := mustNew(t, Options{Identity: "witness", Heartbeat: 20 * time.Millisecond})
	broker, sub := speak(t, 2, b, witness)
	b.Install(t.Context(), jarOf("a", "1"))
	b.Set(func(f *Faults) { f.Silent = true })
	command(t, broker, b, uninstallBiz, jarOf("a", "1"))
	said(t, sub, witness, "heart")
	for { // what it had said before
		if _, ok := sub.take(func(m message) bool { return strings.Contains(m.Topic, b.Identity()) }); !ok {
			break
		}
	}
	for range 3 {
		said(t, sub, witness, "heart")
	}
	if m, spoke := sub.take(func(m message) bool { return strings.Contains(m.Topic, b.Identity()) }); spoke {
		t.Errorf("a silent base said %s", m.Topic)
	}
	b.Resume()
	said(t, sub, b, "heart")
	if !b.Serves("a", "1") || len(b.Look().Commands) != 0 {
		t.Error("a command reached a silent base")
	}
}

// A fleet of thousands needs a few connections and hardly a goroutine a base.
func TestThousandsOfBasesNeedFewGoroutines(t *testing.T) {
	const bases, perConnection = 2000, 500
	before := goruntime.NumGoroutine()
	var all []*Base
	for n := range bases {
		all = append(all, mustNew(t, Options{Identity: fmt.Sprintf("base-%04d", n)}))
	}
	broker, sub := speak(t, perConnection, all...)
	if grown := goruntime.NumGoroutine() - before; grown > 100 {
		t.Errorf("%d goroutines for %d bases", grown, bases)
	}
	for _, b := range all {
		command(t, broker, b, installBiz, jarOf("a", "1"))
	}
	await(t, "all to install", func() bool {
		serving := 0
		for _, b := range all {
			serving += b.Totals().Serving
		}
		return serving == bases
	})
	said(t, sub, all[bases-1], "bizOperation")
}

func TestHTTPServerRefusesAsArkletDoes(t *testing.T) {
	b := mustNew(t, Options{})
	url := serveHTTP(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/installBiz", strings.NewReader("not json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a body that is no JSON: %v, want no answer", err)
	}
	resp, err := http.Post(url+"/health", "application/json", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too large a body: %s", resp.Status)
	}
}

// A synchronous install blocks the event loop that it came on, and with it others.
func TestLongInstallsBlockEventLoops(t *testing.T) {
	b := mustNew(t, Options{})
	b.Jars().Add(Jar{URL: "file:///slow", Name: "slow", Version: "1", Start: time.Hour})
	url := serveHTTP(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	post := func(path, body string) (int64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.ContentLength, nil
	}
	ended := make(chan error, 1)
	go func() {
		_, err := post("/installBiz", `{"bizName":"slow","bizVersion":"1","bizUrl":"file:///slow"}`)
		ended <- err
	}()
	await(t, "the install", func() bool { return starting(b) })
	var answered atomic.Int32
	for range eventLoops {
		go func() {
			if length, err := post("/queryAllBiz", "{}"); err == nil && length == -1 {
				answered.Add(1)
			}
		}()
	}
	await(t, "all others", func() bool { return answered.Load() == eventLoops-1 && b.Look().Questions[queryAllBiz] == eventLoops })
	cancel()
	<-ended
	b.Restart()
}

func TestBatchFailsWhole(t *testing.T) {
	b := mustNew(t, Options{})
	p := b.running()
	bad := []Command{jarOf("a", "1"), {Name: "none", Version: "1", URL: "file:///none.jar"}}
	if o, _ := p.batch(t.Context(), bad, b.write); o["code"] != "CMD_PROCESS_INTERNAL_ERROR" || len(states(b)) != 0 {
		t.Errorf("%v, %v", o["code"], states(b))
	}
	o, _ := p.batch(t.Context(), []Command{jarOf("a", "1"), jarOf("b", "1")}, b.write)
	byURL, _ := o["data"].(object)["bizUrlToResponse"].(object)
	if o["code"] != "SUCCESS" || len(byURL) != 2 || len(states(b)) != 2 {
		t.Errorf("%v, %v", o, states(b))
	}
}

// A base announces itself over HTTP before it takes commands.
func TestHTTPBaseAnnouncesItselfFirst(t *testing.T) {
	b := mustNew(t, Options{ListenAfter: time.Hour})
	heard := make(chan int, 1)
	controller := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var h struct{ Port int }
		_ = json.NewDecoder(r.Body).Decode(&h)
		select {
		case heard <- h.Port:
		default:
		}
	}))
	t.Cleanup(controller.Close)
	during(t, func(ctx context.Context) error {
		return (&HTTPFleet{Endpoints: []string{controller.URL}, Bases: []*Base{b}}).Run(ctx)
	})
	port := <-heard
	resp, err := http.Post(fmt.Sprintf("http://%s/health", net.JoinHostPort("127.0.0.1", fmt.Sprint(port))), "application/json", strings.NewReader("{}"))
	if err == nil {
		resp.Body.Close()
		t.Error("it takes commands already")
	}
}
