package plan

import (
	"slices"
	"testing"
)

// After a takeover some pods come before others.
func TestNothingIsDoneAboutModulesThatAnUnsyncedPodMayWant(t *testing.T) {
	for what, version := range map[string]string{"the same version, redeployed": "1", "its version is not known yet": ""} {
		t.Run(what, func(t *testing.T) {
			s := newSim(overMQTT)
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.pod("new", "orders", version, urlOf("orders", "1"))
			s.unsynced = map[string]bool{"new": true}
			s.delete("old")
			s.rounds(5)
			s.wantLog(t, "install orders:1")
		})
	}
	t.Run("a newer version serves", func(t *testing.T) {
		s := newSim(overMQTT)
		s.pod("old", "orders", "1", urlOf("orders", "1"))
		s.rounds(3)
		s.pod("new", "orders", "2", urlOf("orders", "2"))
		s.rounds(6)
		before := slices.Clone(s.log)
		s.unsynced = map[string]bool{"new": true}
		s.rounds(5)
		s.wantLog(t, before...)
		s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:2")
	})
}
