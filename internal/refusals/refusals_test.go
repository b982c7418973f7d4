package refusals

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	_ "module-controller/internal/oneproc"
)

// A refusal is told at once, and then by the minute with how often it was; of two senders
// each is told.
func TestARefusalIsToldByTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		l := New(zap.New(core))
		for range 150 {
			l.Tell("heartbeat refused", "no_pod", "a")
			time.Sleep(time.Second)
		}
		l.Tell("heartbeat refused", "no_pod", "b", zap.String("from", "b"))
		l.Tell("heartbeat refused", "address", "b")
		var got []string
		for _, e := range logs.All() {
			m := e.ContextMap()
			got = append(got, fmt.Sprint(e.Message, " ", m["reason"], " ", m["times"]))
		}
		want := []string{"heartbeat refused no_pod 1", "heartbeat refused no_pod 60", "heartbeat refused no_pod 60", "heartbeat refused no_pod 1", "heartbeat refused address 1"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told %q", got)
		}
	})
}

// A flood of senders fills no log and no memory; how many were not told is told.
func TestAFloodOfRefusalsFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		l := New(zap.New(core))
		for n := range 10 * kept {
			l.Tell("heartbeat refused", "no_pod", strconv.Itoa(n))
		}
		if n := logs.Len(); n != each {
			t.Errorf("%d lines at once, want %d", n, each)
		}
		if n := l.known.Len(); n != kept {
			t.Errorf("%d are remembered, want %d", n, kept)
		}
		l.Tell("heartbeat refused", "address", "") // a flood of one kind hides no other
		if got := logs.All()[each].ContextMap()["notTold"]; got != int64(10*kept-each) {
			t.Errorf("%v were not told, want %d", got, 10*kept-each)
		}
		for n := range 10 * kept {
			l.Tell("heartbeat refused", []string{"a", "b", "c"}[n%3], strconv.Itoa(n))
		}
		if n := logs.Len(); n != most {
			t.Errorf("%d lines of all kinds at once, want %d", n, most)
		}
	})
}
