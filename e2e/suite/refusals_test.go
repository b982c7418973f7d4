package suite

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"module-controller/e2e/attacker"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// The addresses of a Pod that may be a base, of one that it speaks for, and of one that is not
// labelled.
const (
	refusedIP    = "127.79.0.1"
	claimedIP    = "127.79.0.2"
	unlabelledIP = "127.79.0.3"
)

// refusals gives the Events about refused heartbeats on the Pod that has an address.
func refusals(w *world.World, ip string) []corev1.Event {
	w.Helper()
	list, err := cluster.Client.CoreV1().Events(w.Env).List(w.Context(), metav1.ListOptions{FieldSelector: fields.AndSelectors(
		fields.OneTermEqualSelector("involvedObject.name", harness.BasePodName(ip)), fields.OneTermEqualSelector("reason", "HeartbeatRefused"),
	).String()})
	w.Must(err)
	return list.Items
}

// awaitRefusal waits until the Pod that has an address is told of a refusal.
func awaitRefusal(w *world.World, ip, with string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		var said []string
		for _, e := range refusals(w, ip) {
			if said = append(said, e.Message); strings.Contains(e.Message, with) && e.Type == corev1.EventTypeWarning {
				return nil
			}
		}
		return fmt.Errorf("the Pod at %s is told %q, want %q", ip, said, with)
	})
}

// Whose heartbeats are refused sees why on its own Pod, also on one that is not labelled yet;
// the Pod that it speaks for, and modules on that, are told nothing.
func TestARefusedHeartbeatIsToldOnItsPod(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP()
	w.CreateBasePods(refusedIP, claimedIP)
	w.CreateStrangerPod(unlabelledIP)
	w.WithController()
	for _, c := range []struct{ from, claims, told string }{
		{refusedIP, claimedIP, "(sender_mismatch): the heartbeat comes from " + refusedIP},
		{unlabelledIP, unlabelledIP, "(no_workload): no workload that may be a base: no Pod that matches the selector"},
	} {
		sender := attacker.NewSender(c.from, w.Endpoint())
		t.Cleanup(sender.Close)
		for range 5 {
			status, text, err := sender.Post(t.Context(), "/heartbeat", attacker.Heart{Identity: "orders", IP: c.claims, Port: 1238}.String())
			if err != nil || status != http.StatusForbidden {
				t.Errorf("from %s: %d %s (%v)", c.from, status, text, err)
			}
		}
		awaitRefusal(w, c.from, c.told)
		if all := refusals(w, c.from); len(all) != 1 || all[0].Count != 1 {
			t.Errorf("five heartbeats from %s are told %d times: %+v", c.from, len(all), all)
		}
	}
	if all := refusals(w, claimedIP); len(all) > 0 {
		t.Errorf("the Pod that was spoken for is told %+v", all)
	}
}
