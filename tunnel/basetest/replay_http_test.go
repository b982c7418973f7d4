package basetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exchange is one line of a recorded HTTP story.
type exchange struct {
	Why      string          `json:"why"`
	Method   string          `json:"method"`
	Command  string          `json:"command"`
	Request  json.RawMessage `json:"request"`
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response"`
	Behind   int             `json:"behind"`
}

func readLines[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if len(all) == 0 || lines.Err() != nil {
		t.Fatalf("%s: %d lines, %v", file, len(all), lines.Err())
	}
	return all
}

// recordedJars are the jars of the recorded stories.
func recordedJars(mainClass func(name, version string) string, stock Jar) *Jars {
	jars := &Jars{}
	add := func(j Jar) {
		j.URL = fmt.Sprintf("file:///opt/modules/%s-%s-ark-biz.jar", j.Name, j.Version)
		j.MainClass = mainClass(j.Name, j.Version)
		jars.Add(j)
	}
	add(Jar{Name: "orders", Version: "1.0.0"})
	add(Jar{Name: "orders", Version: "2.0.0"})
	add(Jar{Name: "orders", Version: "3.0.0", FailWith: "no stock today"})
	add(Jar{Name: "hello", Version: "1.0.0", Plain: true})
	for _, v := range []string{"1.0.0", "2.0.0"} {
		stock.Name, stock.Version = "stock", v
		add(stock)
	}
	return jars
}

func sameMain(string, string) string { return "t.mod.Orders" }

func ownMain(name, version string) string {
	if name == "orders" {
		return map[string]string{"1.0.0": "orders.Orders$First", "2.0.0": "orders.Orders$Second"}[version]
	}
	return name + "." + strings.ToUpper(name[:1]) + name[1:]
}

// Asked what a real base was asked, in the same order, a fake one answers the same.
func TestAnswersOverHTTPAsRecorded(t *testing.T) {
	for _, story := range []struct {
		file, runtime string
		limit         int64
		main          func(string, string) string
	}{
		{"http-1.2.2.jsonl", "1.2.2", -1, sameMain},
		{"http-2.1.6.jsonl", "2.1.6", -1, sameMain},
		{"http-2.1.11.jsonl", "2.1.11", 256 << 20, sameMain},
		{"http-1.2.2-more.jsonl", "1.2.2", 256 << 20, ownMain},
		{"http-2.1.6-more.jsonl", "2.1.6", 256 << 20, ownMain},
	} {
		t.Run(story.file, func(t *testing.T) {
			b := mustNew(t, Options{
				Identity: "192.0.2.2", Runtime: story.runtime, MaxMetaspace: story.limit, Start: 250 * time.Millisecond,
				Jars: recordedJars(story.main, Jar{Port: 8080}),
			})
			url := serveHTTP(t, b)
			replay(t, b, url, readLines[exchange](t, story.file))
		})
	}
}

func replay(t *testing.T, b *Base, url string, lines []exchange) {
	t.Helper()
	var late chan string // the answer that is awaited behind others
	var lateLine exchange
	wait := 0
	for _, line := range lines {
		if line.Behind > 0 {
			answered := make(chan string, 1)
			go func() { answered <- ask(t, url, line) }()
			await(t, "the install to begin", func() bool { return starting(b) })
			late, lateLine, wait = answered, line, line.Behind
			continue
		}
		if line.Command == queryBizOps {
			settled(t, b, line)
		}
		compare(t, line, ask(t, url, line))
		if changes(line.Command) {
			began(t, b, line) // before the next one does
		}
		if wait--; late != nil && wait == 0 {
			compare(t, lateLine, <-late)
			late = nil
		}
	}
}

func starting(b *Base) bool {
	for _, m := range b.Look().Modules {
		if m.State == resolved {
			return true
		}
	}
	return false
}

// settled waits until an asynchronous command is as far as it was when it was asked
// about.
func settled(t *testing.T, b *Base, line exchange) {
	t.Helper()
	var recorded struct{ Data struct{ EndTimestamp int64 } }
	if err := json.Unmarshal(line.Response, &recorded); err != nil {
		t.Fatal(err)
	}
	progress(t, b, line, func(o *ops) bool { return o.thread != "" && (recorded.Data.EndTimestamp == 0 || !o.ended.IsZero()) })
}

// began waits until a command has begun, if it is an asynchronous one.
func began(t *testing.T, b *Base, line exchange) {
	t.Helper()
	progress(t, b, line, func(o *ops) bool { return o.thread != "" })
}

func progress(t *testing.T, b *Base, line exchange, enough func(*ops) bool) {
	t.Helper()
	var request Command
	if err := json.Unmarshal(line.Request, &request); err != nil {
		t.Fatal(err)
	}
	await(t, "an asynchronous command to go on", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		o := b.process.requests[request.RequestID]
		return o == nil || enough(o)
	})
}

func ask(t *testing.T, url string, line exchange) string {
	t.Helper()
	method := http.MethodPost
	if line.Method != "" {
		method = line.Method
	}
	body := bytes.TrimSpace(line.Request)
	if text := ""; json.Unmarshal(body, &text) == nil {
		body = []byte(text) // a body that was no JSON was recorded as a text
	}
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url+"/"+line.Command, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s: %v", line.Why, err)
		return ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != line.Status || len(resp.Header) > 1 {
		t.Errorf("%s: status %d, want %d; headers %v; %v", line.Why, resp.StatusCode, line.Status, resp.Header, err)
	}
	return string(answer)
}

func compare(t *testing.T, line exchange, got string) {
	t.Helper()
	want := decoded(t, line.Response)
	if text, ok := want.(string); ok {
		if got != text {
			t.Errorf("%s: got %q, want %q", line.Why, got, text)
		}
		return
	}
	have := normal(decoded(t, []byte(got)))
	want = normal(want)
	if line.Command == installBiz || line.Command == uninstallBiz {
		have, want = begun(have), begun(want)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s: %s %s: recorded (-), fake (+):\n%s", line.Why, line.Command, line.Request, diff)
	}
}

func decoded(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return v
}

// serveHTTP plays a base over HTTP until the test ends, and gives its URL.
func serveHTTP(t *testing.T, b *Base) string {
	t.Helper()
	heartbeats := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "SUCCESS") }))
	t.Cleanup(heartbeats.Close)
	during(t, func(ctx context.Context) error {
		return (&HTTPFleet{Endpoints: []string{heartbeats.URL}, Bases: []*Base{b}}).Run(ctx)
	})
	url := ""
	await(t, "the base to listen", func() bool {
		port := b.Look().Port
		url = fmt.Sprintf("http://127.0.0.1:%d", port)
		resp, err := http.Post(url+"/help", "application/json", strings.NewReader("{}"))
		if err == nil {
			resp.Body.Close()
		}
		return port != 0 && err == nil
	})
	return url
}
