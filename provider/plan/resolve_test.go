package plan

import (
	"strings"
	"testing"
	"time"
)

func TestAWrongJarIsNamedAndRemovedOnce(t *testing.T) {
	s := newSim(overMQTT)
	s.jar("file:///x.jar", "orders", "1", "")
	s.pod("wrong", "orders", "9", "file:///x.jar")
	s.rounds(60)
	s.want(t, map[string]string{"wrong": ReasonVersionMismatch}, "")
	s.wantLog(t, "install orders:9", "uninstall orders:1")
	message := s.pods[0].Status.ContainerStatuses[0].State.Waiting.Message
	if !strings.Contains(message, "orders:9") || !strings.Contains(message, "orders:1") {
		t.Errorf("message %q does not name both", message)
	}
}

// A command that left just before the link broke is not waited for as long as an
// install may take.
func TestACommandLostWithTheLinkIsRepeatedSoon(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("a", "orders", "1", urlOf("orders", "1"))
	s.loseCommands = true
	s.rounds(2)
	s.loseCommands = false
	s.in.LinkSince = s.now
	up := s.now
	for s.shows("a") != "Running" && s.now.Before(up.Add(time.Minute)) {
		s.round()
	}
	s.want(t, map[string]string{"a": "Running"}, "orders:1")
	if took := s.now.Sub(up); took > 40*time.Second {
		t.Errorf("running %s after the link was up", took)
	}
	if s.overlaps > 1 {
		t.Errorf("%d commands overlapped", s.overlaps)
	}
}
