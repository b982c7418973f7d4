package plan

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"module-controller/tunnel"
)

func TestClip(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"  spaced  ":              "spaced",
		"two\r\nlines":            "two  lines",
		"bad\xffbyte":             "bad?byte",
		strings.Repeat("a", 2000): strings.Repeat("a", tunnel.MaxText),
	} {
		if got := clip(text); got != want {
			t.Errorf("clip(%q) = %q, want %q", text, got, want)
		}
	}
	if got := clipTo("aÜ", 2); got != "a" {
		t.Errorf("half a rune is kept: %q", got)
	}
}

// Whatever a base says, it becomes one short line.
func TestClipIsAlwaysOneShortLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(0, 40).Draw(t, "most")
		got := clipTo(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), most)
		if len(got) > most || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("clipTo(…, %d) = %q", most, got)
		}
	})
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"file:///x.jar":                  "file:///x.jar",
		"http://host/x.jar":              "http://host/x.jar",
		"http://u:hidden@host/x.jar":     "http://u:xxxxx@host/x.jar",
		"http://host/x.jar?token=hidden": "http://host/x.jar?xxxxx",
		"http://%zz":                     "(not a URL)",
	} {
		if got := redact(raw); got != want {
			t.Errorf("redact(%q) = %q, want %q", raw, got, want)
		}
	}
}
