package mqtttunnel

import (
	"strings"
	"testing"
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
