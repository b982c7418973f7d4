package mqtttunnel

import (
	"context"
	"sync"
	"testing"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// A base that asks at its start what to install is told: nothing, once and not retained. It
// installs nothing for that, and what it answers is reported.
func TestABaseThatAsksIsToldNothing(t *testing.T) {
	broker := newBroker(t)
	var mu sync.Mutex
	var answers []basetest.Published
	broker.Observe(func(p basetest.Published) {
		if p.Topic == "koupleless_dev/b1/base/baseline" {
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, p)
		}
	})
	tun, s, dropped := countedOn(t, broker, nil)
	tunneltest.Await(t, "link up", func() bool { return s.Recorded().Up() })
	base, err := basetest.New(basetest.Options{Identity: "b1", Env: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	tunneltest.During(t, func(ctx context.Context) error {
		(&basetest.MQTTFleet{Broker: broker.Address(), Bases: []*basetest.Base{base}, Reconnect: 200 * time.Millisecond}).Run(ctx)
		return nil
	})
	tunneltest.Await(t, "a heartbeat", func() bool { return len(s.Recorded().Beats) > 0 })
	h := s.Recorded().Beats[0]
	if !h.Restarted {
		t.Fatal("the base did not ask")
	}
	tun.Follow(h)
	tunneltest.Await(t, "followed", tun.hears(1))
	if err := tun.Do(t.Context(), h.Base, tunnel.Command{Verb: tunnel.AnswerBaseline}); err != nil {
		t.Fatal(err)
	}
	done := func() bool {
		for _, r := range s.Recorded().Reports {
			if r.Base == h.Base && r.Baseline && !r.Listed && r.Answer == nil {
				return true
			}
		}
		return false
	}
	tunneltest.Await(t, "the base has done it", done)
	mu.Lock()
	defer mu.Unlock()
	if len(answers) != 1 || string(answers[0].Payload) != "[]" || answers[0].Retain {
		t.Errorf("the base was told %+v", answers)
	}
	if retained := broker.Retained(); len(retained) > 0 {
		t.Errorf("retained: %q", retained)
	}
	say(t, broker, h.Base) // it comes behind the answer, which this replica hears as well
	tunneltest.Await(t, "a list", func() bool { return s.Recorded().Lists(h.Base) > 0 })
	if n := dropped.of("unknown_topic"); n > 0 {
		t.Errorf("%d messages were dropped as of an unknown topic", n)
	}
	if installs := base.Look().Installs; len(installs) > 0 {
		t.Errorf("the base installed %v", installs)
	}
}
