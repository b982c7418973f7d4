package provider

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

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
