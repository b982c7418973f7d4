package plan

import (
	"strings"
	"testing"

	"module-controller/tunnel"
)

func TestClip(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "  spaced  ": "spaced", "two\r\nlines": "two  lines", "bad\xffbyte": "bad?byte", "a\u202eb": "a b",
		strings.Repeat("a", 2000): strings.Repeat("a", tunnel.MaxText),
	} {
		if got := clip(text); got != want {
			t.Errorf("clip(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"file:///x.jar":                  "file:///x.jar",
		"http://host/x.jar":              "http://host/x.jar",
		"http://u:hidden@host/x.jar":     "http://host/x.jar",
		"http://host/x.jar?token=hidden": "http://host/x.jar",
		"http://%zz":                     "(not a URL)",
	} {
		if got := redact(raw); got != want {
			t.Errorf("redact(%q) = %q, want %q", raw, got, want)
		}
	}
}
