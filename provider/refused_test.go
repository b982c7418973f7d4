package provider

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/internal/refusals"
	"module-controller/tunnel"
)

// What is refused is shown on the workload that was proved to be the sender, and on no other:
// a word names none. What passes by itself is only counted and logged.
func TestARefusalIsShownWhereTheBaseRuns(t *testing.T) {
	bound := tunnel.Sender{Bound: true, Workload: "ns/shop-0/1"}
	for name, c := range map[string]struct {
		from   tunnel.Sender
		why    *refusal
		detail error
		shown  []string
	}{
		"by its kind":              {bound, errNoAnswer, nil, []string{"ns/shop-0/1 no_answer: " + errNoAnswer.text}},
		"for a reason of its own":  {bound, errOtherEnv, errors.New(`environment "a\nb" is not served`), []string{`ns/shop-0/1 environment: environment "a\nb" is not served`}},
		"as many as may be":        {bound, errTotal, nil, []string{"ns/shop-0/1 too_many_bases: " + errTotal.text}},
		"it passes: behind":        {bound, errBehind, nil, nil},
		"it passes: many at once":  {bound, errTooManyAtOnce, nil, nil},
		"it passes: many unproven": {bound, errUnproven, nil, nil},
		"of a bound tunnel":        {tunnel.Sender{Bound: true}, errNoAnswer, nil, nil},
		"of anybody":               {tunnel.Sender{}, errNoAnswer, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			shown, counted := &places{}, &drops{count: map[string]int{}}
			r := refusing{refusals.New(zap.NewNop()), counted, shown}
			r.refuse(tunnel.Heartbeat{Base: shop, Tunnel: "wire", Sender: c.from}, c.why, c.detail)
			if d := cmp.Diff(c.shown, shown.refused); d != "" {
				t.Errorf("shown (-want +got):\n%s", d)
			}
			if counted.of("wire "+c.why.kind) != 1 {
				t.Errorf("counted %v", counted.count)
			}
		})
	}
}

// Each base that is refused is told of by name, with the reason and the setting that changes it.
func TestARefusalNamesTheBaseAndTheSetting(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	r := refusing{refusals.New(zap.New(core)), &drops{count: map[string]int{}}, &places{}}
	settings := map[*refusal]string{
		errOtherEnv: "ENV", errNoAnswer: "STALE_AFTER", errBehind: "LEASE_WORKERS", errTotal: "MAX_BASES",
		errUnproven: "MAX_UNPROVEN_BASES", errTooManyAtOnce: "NEW_BASES_PER_SECOND", errNoNode: "no setting",
	}
	for why, setting := range settings {
		for _, id := range []string{"b1", "b2", "b1"} {
			r.refuse(tunnel.Heartbeat{Base: tunnel.BaseID{Env: "dev", Identity: id}, Tunnel: "wire"}, why, nil)
		}
		told := logs.TakeAll()
		if len(told) != 2 {
			t.Fatalf("%s of two bases is told %d times", why.kind, len(told))
		}
		for n, l := range told {
			m := l.ContextMap()
			if text := m["error"].(string); m["identity"] != []string{"b1", "b2"}[n] || m["reason"] != why.kind || !strings.Contains(text, setting) {
				t.Errorf("told is %v, want %s in it", m, setting)
			}
		}
	}
}
