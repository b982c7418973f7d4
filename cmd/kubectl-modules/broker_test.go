package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"module-controller/tunnel/basetest"
)

// retain leaves a message retained, as another controller does.
func retain(t *testing.T, b *basetest.Broker, topic string) {
	t.Helper()
	if err := b.Publish(topic, []byte("{}"), true); err != nil {
		t.Fatal(err)
	}
}

// A broker is looked at from here: whether it is reached, and what is retained there.
func TestCheckLooksAtTheBroker(t *testing.T) {
	b, err := basetest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	check := func(t *testing.T, args ...string) (string, error) {
		t.Helper()
		return run(t, client(cluster(time.Now())...), append([]string{"check", "--broker", "mqtt://" + b.Address()}, args...)...)
	}
	text, err := check(t)
	if err != nil {
		t.Errorf("of a sound broker it ends with %v:\n%s", err, text)
	}
	contains(t, text, []string{"✓ the broker is reached", "✓ no command is retained"})
	retain(t, b, "koupleless_default/base-1/installBiz")
	retain(t, b, "koupleless_default/base-1/base/heart")
	retain(t, b, "koupleless_prod/base-1/installBiz")
	text, err = check(t)
	if err == nil {
		t.Error("retained commands are no fault")
	}
	contains(t, text, []string{"1 command is retained", "koupleless_default/base-1/installBiz", "MQTT_CLEAR_RETAINED"})
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if text, err = check(t, "--broker-timeout", "2s"); err == nil {
		t.Error("a broker that is gone is no fault")
	}
	contains(t, text, []string{"does not reach the broker", "connection refused", "no command is retained on the broker: not checked"})
}

// What names no broker is refused before anything is asked.
func TestWrongBrokersAreRefused(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, says := range map[string]string{
		"--broker http://b":                                "mqtts://HOST",
		"--broker b:1883":                                  "mqtts://HOST",
		"--broker mqtt://b/x":                              "mqtts://HOST",
		"--broker mqtt://u:p@b":                            "--broker-username",
		"--broker mqtts://b --broker-ca " + none:           none,
		"--broker mqtt://b --broker-password-file " + none: "MQTT_USERNAME",
	} {
		if _, err := run(t, client(cluster(time.Now())...), append([]string{"check"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// Retained commands are shown, and deleted only with --yes: those of the environments meant, and
// nothing else.
func TestClearRetained(t *testing.T) {
	b, err := basetest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	clears := func(t *testing.T, args ...string) string {
		t.Helper()
		text, err := run(t, client(cluster(time.Now())...), append([]string{"clear-retained", "--broker", "mqtt://" + b.Address()}, args...)...)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return text
	}
	mine, others := []string{"koupleless_default/base-1/installBiz", "koupleless_default/base-2/base/baseline"}, []string{"koupleless_default/base-1/base/heart", "koupleless_prod/base-1/installBiz"}
	for _, topic := range append(others, mine...) {
		retain(t, b, topic)
	}
	contains(t, clears(t), append([]string{"2 are retained; nothing was changed. Give --yes"}, mine...))
	contains(t, clears(t, "-o", "json"), append([]string{`"deleted": false`}, mine...))
	if n := len(b.Retained()); n != 4 {
		t.Errorf("without --yes it left %d of 4", n)
	}
	contains(t, clears(t, "--yes"), append([]string{"2 deleted"}, mine...))
	if left := slices.Sorted(slices.Values(b.Retained())); !slices.Equal(left, others) {
		t.Errorf("what is left is %q, want %q", left, others)
	}
	contains(t, clears(t), []string{"no command is retained for bases of default"})
	contains(t, clears(t, "--env", "prod", "--yes"), []string{"koupleless_prod/base-1/installBiz", "1 deleted"})
}

// What cannot be told is an error, never "none": no broker, no environment, no right to read or
// to write.
func TestClearRetainedSaysWhatItCannot(t *testing.T) {
	b, err := basetest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	at := []string{"--broker", "mqtt://" + b.Address()}
	refused := func(says string, args ...string) {
		t.Helper()
		if _, err := run(t, client(), append([]string{"clear-retained"}, args...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", args, err, says)
		}
	}
	refused("give --broker")
	refused("give --env", at...)
	refused("not usable in a topic", append(at, "--env", "a/b")...)
	b.Deny(func(filter string) bool { return strings.HasSuffix(filter, "/installBiz") })
	refused("does not let this user read koupleless_prod/+/installBiz", append(at, "--env", "prod", "--yes")...)
	b.Deny(func(string) bool { return false })
	retain(t, b, "koupleless_prod/base-1/installBiz")
	b.Deafen(true) // it acknowledges what it does not permit
	refused("1 are retained still, such as koupleless_prod/base-1/installBiz", append(at, "--env", "prod", "--yes")...)
}
