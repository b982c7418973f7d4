package plan

import (
	"strings"
	"testing"

	"module-controller/tunnel"
)

func TestAFailureTellsItsCauseAndWhenItIsTriedAgain(t *testing.T) {
	for _, cause := range []string{"no stock today", strings.Repeat("no stock today, ", 1000)} {
		s := newSim(overMQTT)
		s.jar(urlOf("orders", "1"), "orders", "1", cause)
		s.pod("orders", "orders", "1", urlOf("orders", "1"))
		shown := map[string]string{}
		for range 60 {
			s.round()
			if all := s.pods[0].Status.ContainerStatuses; len(all) > 0 && all[0].State.Waiting != nil {
				shown[all[0].State.Waiting.Reason] = all[0].State.Waiting.Message
			}
		}
		for reason, again := range map[string]string{ReasonInstallFailed: "(next try after 10s)", ReasonInstallBackOff: "attempts failed, back-off "} {
			if message := shown[reason]; !strings.HasPrefix(message, "no stock today") || !strings.Contains(message, again) || len(message) > tunnel.MaxText {
				t.Errorf("%s tells %q, want the cause and %q", reason, message, again)
			}
		}
	}
}
