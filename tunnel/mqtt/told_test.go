package mqtttunnel

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// Each kind of refusal is told once a minute for each sender, and a flood of senders
// fills no log; how many were left out is told with the next.
func TestRefusalsAreToldNowAndThen(t *testing.T) {
	var all told
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	first := func(what, who string) bool {
		tell, _ := all.first(what, who, now)
		return tell
	}
	if !first("too_large", "a") || first("too_large", "a") || !first("too_large", "b") || !first("not_json", "a") {
		t.Error("a kind and its sender are not told once")
	}
	lines := 3
	for n := range 1000 {
		if first("bad_identity", strconv.Itoa(n)) {
			lines++
		}
	}
	if lines != maxTold {
		t.Errorf("%d lines in a minute, want %d", lines, maxTold)
	}
	now = now.Add(tellEvery)
	if tell, more := all.first("too_large", "a", now); !tell || more != 1003-maxTold {
		t.Errorf("a minute later: told %t, with %d that were not, want %d", tell, more, 1003-maxTold)
	}
}

// Anybody may choose a topic: what is shown of it commands no terminal.
func TestATopicIsShownAsText(t *testing.T) {
	for topic, want := range map[string]string{
		"koupleless_dev/b1/base/heart": "koupleless_dev/b1/base/heart",
		"a\x1b[2Jb\u009bc\u202ed\n":    `a\x1b[2Jb\u009bc\u202ed\n`,
		"\xff":                         `\xff`,
	} {
		if got := shownTopic(topic); got != want {
			t.Errorf("%q is shown as %s, want %s", topic, got, want)
		}
	}
	if got := shownTopic(strings.Repeat("x", 1000)); len(got) != maxShown {
		t.Errorf("a long one has %d bytes", len(got))
	}
}
