package mqtttunnel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// Anybody may choose a topic: what is shown of it commands no terminal.
func TestATopicIsShownAsText(t *testing.T) {
	for topic, want := range map[string]string{
		"koupleless_dev/b1/base/heart": "koupleless_dev/b1/base/heart",
		"a\x1b[2Jb\u009bc\u202ed\n":    `a\x1b[2Jb\u009bc\u202ed\n`,
		"\xff":                         `\xff`,
	} {
		if got := ShownTopic(topic); got != want {
			t.Errorf("%q is shown as %s, want %s", topic, got, want)
		}
	}
	if got := ShownTopic(strings.Repeat("x", 1000)); len(got) != maxShown {
		t.Errorf("a long one has %d bytes", len(got))
	}
}

// What is dropped is told with whom it is of, why, and what changes that: once for each sender
// and reason, however many topics it has.
func TestADroppedMessageIsToldWithWhatChangesIt(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	tun, err := New(Config{Broker: "127.0.0.1", ClientID: "test", Environments: []string{"default"}}, zap.New(core), tunnel.NoMeter)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"heart", "simpleBiz", "health"} {
		tun.drop("koupleless_dev/b1/base/"+kind, "unknown_env")
	}
	tun.drop("koupleless_dev/b2/base/heart", "unknown_env")
	tun.drop("koupleless_default/b\x1b/base/heart", string(arklet.BadIdentity))
	tun.drop("module-controller/x/gone", "gone_unproved")
	tun.cut("koupleless_default/b1/base/simpleBiz", 1<<20)
	tun.drop("koupleless_default/b1/base/health", "not_followed")
	var got []string
	for _, l := range logs.All() {
		m := l.ContextMap()
		got = append(got, fmt.Sprint(m["reason"], " ", m["env"], "/", m["identity"], ": ", m["remedy"]))
	}
	want := []string{
		"unknown_env dev/b1: " + remedies["unknown_env"],
		"unknown_env dev/b2: " + remedies["unknown_env"],
		`bad_identity default/b\x1b: ` + malformed,
		"gone_unproved <nil>/<nil>: " + remedies["gone_unproved"],
		"too_large default/b1: " + remedies["too_large"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	for reason, setting := range map[string]string{"unknown_env": "ENV", "too_large": "MQTT_MAX_PACKET", "subscription_refused": "MQTT_USERNAME", "decoders_busy": "MQTT_WILDCARDS"} {
		if !strings.Contains(remedies[reason], setting) {
			t.Errorf("%s does not name %s: %s", reason, setting, remedies[reason])
		}
	}
}

// Each reason for which a message may be dropped has a remedy.
func TestEachReasonHasARemedy(t *testing.T) {
	for _, reason := range []arklet.Reason{
		arklet.TooLarge, arklet.TooDeep, arklet.NotJSON, arklet.WrongType, arklet.BadIdentity,
		arklet.IdentityMismatch, arklet.UnknownTopic, arklet.BadModule,
		"unknown_env", "retained", "gone_unproved", "base_busy", "decoders_busy", "subscription_refused",
	} {
		if remedies[string(reason)] == "" {
			t.Errorf("%s has none", reason)
		}
	}
}
