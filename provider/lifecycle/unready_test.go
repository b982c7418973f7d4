package lifecycle

import (
	"testing"
	"time"

	"module-controller/provider/plan"
)

// The pods are told the Node's reason at once, and until a list came after it.
func TestWhyPodsAreNotReady(t *testing.T) {
	type step struct {
		nodes         string
		holds, listed time.Duration // after noon; listed 0: none yet
	}
	for _, c := range []struct {
		name     string
		steps    []step
		want     string
		returned bool
	}{
		{"ready", []step{{"", 1, 0}}, "", false},
		{"silent", []step{{"", 1, 1}, {plan.ReasonBaseSilent, 9, 1}}, plan.ReasonBaseSilent, false},
		{"heard, not listed", []step{{plan.ReasonBaseSilent, 9, 1}, {"", 10, 1}}, plan.ReasonBaseSilent, true},
		{"heard, listed before", []step{{plan.ReasonBaseSilent, 9, 1}, {"", 10, 9}}, plan.ReasonBaseSilent, true},
		{"heard and listed", []step{{plan.ReasonBaseSilent, 9, 1}, {"", 10, 10}}, "", false},
		{"listed while the Node shows it", []step{{plan.ReasonIdentityConflict, 9, 10}}, plan.ReasonIdentityConflict, false},
		{"a conflict that held longer than the list", []step{{plan.ReasonIdentityConflict, 40, 10}, {"", 40, 20}}, plan.ReasonIdentityConflict, true},
		{"the reason changed", []step{{plan.ReasonBaseSilent, 9, 1}, {plan.ReasonBaseNotAnswering, 10, 1}}, plan.ReasonBaseNotAnswering, false},
		{"silent again before it was listed", []step{{plan.ReasonBaseSilent, 9, 1}, {"", 10, 1}, {plan.ReasonBaseSilent, 50, 1}, {"", 60, 10}}, plan.ReasonBaseSilent, true},
		{"another controller's reason", []step{{"NodeStatusUnknown", 9, 0}}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u unready
			for _, s := range c.steps {
				listed := time.Time{}
				if s.listed > 0 {
					listed = at(s.listed)
				}
				u.follow(s.nodes, at(s.holds), listed)
			}
			if u.reason != c.want || u.returned != c.returned {
				t.Errorf("%q, returned %v; want %q, %v", u.reason, u.returned, c.want, c.returned)
			}
		})
	}
}

// While our own link is down nothing is told that was not told before.
func TestOurOwnSilenceMakesNoPodUnready(t *testing.T) {
	s := told(t, served, []string{"10s link down", "500s turn"})
	if s.base.unready.reason != "" {
		t.Errorf("its pods are not ready: %s", s.base.unready.reason)
	}
	s = told(t, served, []string{"50s turn", "51s link down", "500s turn"})
	if s.base.unready.reason != plan.ReasonBaseSilent {
		t.Errorf("it was silent before, and its pods are not ready: %q", s.base.unready.reason)
	}
}
