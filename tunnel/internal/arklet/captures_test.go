package arklet

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"module-controller/tunnel"
)

// captures reads a file of what real bases said, a line each.
func captures[T any](t testing.TB, file string) []T {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []T
	s := bufio.NewScanner(f)
	s.Buffer(nil, MaxMessage)
	for s.Scan() {
		var line T
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return lines
}

type mqttLine struct {
	Topic   string          `json:"topic"`
	Payload json.RawMessage `json:"payload"`
}

type httpLine struct {
	Why      string `json:"why"`
	Command  string `json:"command"`
	Request  struct{ BizName, BizVersion string }
	Response json.RawMessage `json:"response"`
}

// Every message that a real base sent over MQTT is understood.
func TestMQTTCaptures(t *testing.T) {
	var answers []string
	kinds := map[Kind]int{}
	for i, line := range captures[mqttLine](t, "mqtt-2.1.11.jsonl") {
		b, kind, err := ParseTopic(line.Topic)
		if err != nil || strings.HasSuffix(line.Topic, "base/baseline") {
			continue // to the base
		}
		kinds[kind]++
		msg, err := DecodeMQTT(b, kind, line.Payload)
		if err != nil {
			t.Errorf("line %d, %s: %v", i+1, kind, err)
			continue
		}
		if h := msg.Heartbeat; h != nil && (h.IP != "192.0.2.2" || h.Name != "TO_BE_IMPLEMENTED" || h.Stamp.IsZero()) {
			t.Errorf("line %d: heartbeat %+v", i+1, h)
		}
		if r := msg.Report; r != nil {
			if r.Health != nil && (r.Health.MaxMemory != 256<<20 || r.Health.UsedMemory < 50<<20 || r.Health.CPUs != 2 || r.Health.Uptime <= 0) {
				t.Errorf("line %d: health %+v", i+1, r.Health)
			}
			if r.Baseline != (kind == KindBatch) {
				t.Errorf("line %d, %s: a baseline was done: %t", i+1, kind, r.Baseline)
			}
			if r.Partial {
				t.Errorf("line %d: list with entries that were not read", i+1)
			}
			if a := r.Answer; a != nil {
				answers = append(answers, strings.Join([]string{string(a.Verb), a.Module.String(), string(a.Outcome), a.Installed.String(), a.Message}, "|"))
			}
		}
	}
	if kinds[KindHeart] != 4 || kinds[KindBaseline] != 2 || kinds[KindList] < 20 || kinds[KindHealth] != 3 || kinds[KindBatch] != 1 {
		t.Errorf("messages by kind: %v", kinds)
	}
	want, err := os.ReadFile("testdata/mqtt-answers.txt")
	got := strings.Join(answers, "\n") + "\n"
	if err != nil || got != string(want) {
		t.Errorf("answers (%v):\n%s\nwant:\n%s", err, got, want)
	}
}

func TestHTTPCaptures(t *testing.T) {
	verbs := map[string]tunnel.Verb{"installBiz": tunnel.InstallModule, "uninstallBiz": tunnel.UninstallModule,
		"switchBiz": tunnel.SwitchModule, "queryAllBiz": tunnel.ListModules, "health": tunnel.ReadHealth}
	var lines []string
	for _, file := range []string{"http-1.2.2.jsonl", "http-2.1.6.jsonl", "http-2.1.11.jsonl"} {
		for _, line := range captures[httpLine](t, file) {
			verb, ok := verbs[line.Command]
			if !ok {
				continue
			}
			c := tunnel.Command{Verb: verb, Module: tunnel.ModuleKey{Name: line.Request.BizName, Version: line.Request.BizVersion}, RequestID: "r-1"}
			r := tunnel.Report{Base: tunnel.BaseID{Env: "default", Identity: "192.0.2.2"}}
			text := file + "|" + line.Why + "|"
			if err := DecodeResponse(c, line.Response, &r); err != nil {
				t.Errorf("%s%v", text, err)
				continue
			}
			switch {
			case r.Listed:
				for _, m := range r.Modules {
					text += m.String() + " " + string(m.State) + ","
				}
			case r.Health != nil:
				text += "health"
			case r.Answer != nil:
				text += string(r.Answer.Outcome) + "|" + r.Answer.Installed.String() + "|" + r.Answer.Message
			}
			lines = append(lines, text)
		}
	}
	want, err := os.ReadFile("testdata/http-answers.txt")
	got := strings.Join(lines, "\n") + "\n"
	if err != nil || got != string(want) {
		t.Errorf("answers (%v):\n%s\nwant:\n%s", err, got, want)
	}
}
