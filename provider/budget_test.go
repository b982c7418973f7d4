package provider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// A base gets so many Events, on its Node and on its pods apart, and one that says how many
// were left out.
func TestEventsOfABaseAreBounded(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	many := func(n int, pod types.UID) []plan.Event {
		return slices.Repeat([]plan.Event{{Pod: pod, Reason: "A"}}, n)
	}
	var b budget
	spend := func(after time.Duration, events []plan.Event) (told int, leftOut string) {
		all, left := b.spend(events, noon.Add(after))
		for _, e := range all {
			if e.Reason == reasonLeftOut {
				leftOut = e.Message
			} else {
				told++
			}
		}
		if told+left != len(events) {
			t.Errorf("of %d, %d are told and %d left out", len(events), told, left)
		}
		return told, leftOut
	}
	for _, c := range []struct {
		name    string
		after   time.Duration
		events  []plan.Event
		told    int
		leftOut string
	}{
		{"none", 0, nil, 0, ""},
		{"as many as may be at once", 0, many(10, ""), 10, ""},
		{"on pods beside them", 0, many(1000, "u"), 1000, ""},
		{"too many of both", 0, append(many(20, ""), many(30, "u")...), 0, ""},
		{"once there is room", 10 * time.Second, nil, 0, "50 Events"},
		{"told once", 10 * time.Second, nil, 0, ""},
		{"pods have room too", 10 * time.Second, many(20, "u"), 10, ""},
		{"the rest is told later", 30 * time.Second, many(1, ""), 1, "10 Events"},
	} {
		if told, leftOut := spend(c.after, c.events); told != c.told || !strings.HasPrefix(leftOut, c.leftOut) || (c.leftOut == "" && leftOut != "") {
			t.Errorf("%s: %d are told, left out %q", c.name, told, leftOut)
		}
	}
}

// A base that lists other modules each time fills nobody's queue of Events.
func TestABaseThatChangesTooOftenIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		for i := range 60 {
			p.base.set(func(b *base) {
				clear(b.modules)
				b.modules[tunnel.ModuleKey{Name: fmt.Sprint("m", i), Version: "1"}] = tunnel.Activated
			})
			p.wire.reports(shop, tunnel.Report{Listed: true, Modules: p.base.list()})
			p.passes(time.Second)
		}
		p.passes(20 * time.Second)
		if got := p.events.has(told{"Node", shopNode, reasonLeftOut}); !strings.Contains(got, "Events of this base") {
			t.Errorf("told is %q of %v", got, p.events.events)
		}
		if n := p.events.count(); n > 30 {
			t.Errorf("%d Events were told", n)
		}
	})
}

// The value of a Secret and the credentials of a URL, which a base quotes, are in no Event,
// status, Node or log.
func TestWhatABaseQuotesOfSecretsIsNotShown(t *testing.T) {
	const secret, password = "s3cr3t-value", "repo-pw"
	synctest.Test(t, func(t *testing.T) {
		p := running(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"}, Data: map[string][]byte{"k": []byte(secret)}})
		p.serves(byBroker)
		p.base.set(func(b *base) { b.failure = "login with " + secret + " failed, then https://repo/x with " + password })
		pod := podOn("orders")
		c := &pod.Spec.Containers[0]
		c.Image = "https://ci:" + password + "@repo/orders.jar"
		c.Env = append(c.Env, corev1.EnvVar{Name: "DB", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "k"}}})
		p.binds(pod)
		p.passes(30 * time.Second)
		got := p.pod("orders")
		if waits(got) != plan.ReasonInstallBackOff {
			t.Fatalf("the pod waits for %q", waits(got))
		}
		shown := fmt.Sprint(p.events.events, got.Status.ContainerStatuses[0].State.Waiting, got.Status.Conditions, p.node())
		for _, l := range p.logs.All() {
			shown += fmt.Sprint(l.Message, l.ContextMap())
		}
		if strings.Contains(shown, secret) || strings.Contains(shown, password) || !strings.Contains(shown, "login with xxxxx failed") {
			t.Errorf("shown is %s", shown)
		}
	})
}
