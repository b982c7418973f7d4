package plan

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

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

// What is not looked at closely has nothing to hide.
func TestPlainURLs(t *testing.T) {
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SampledFrom([]string{"file://", "http://", "https://", "token://", "https:", "http:///"}).Draw(t, "scheme") +
			rapid.StringMatching(`[a-z0-9./_+:@?=#% -]{0,12}(/|token|password)?[a-z0-9./_+:@?=#% -]{0,12}`).Draw(t, "rest")
		if !isPlain(raw) {
			return
		}
		plain++
		if got := tunnel.Redact(raw); got != raw {
			t.Errorf("%q is redacted: %q", raw, got)
		}
		if _, err := url.Parse(raw); err != nil {
			t.Error(err)
		}
	})
	if plain == 0 {
		t.Error("no URL was plain")
	}
}
