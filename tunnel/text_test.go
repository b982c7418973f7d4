package tunnel_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"module-controller/tunnel"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"  spaced  ":              "spaced",
		"two\r\nlines":            "two  lines",
		"Ünïcode 中文 😀":            "Ünïcode 中文 😀",
		"bad\xffbyte":             "bad?byte",
		"\u009b31mred":            "31mred",
		"a\u202eb":                "a b",
		"a\u2028b\u2029c":         "a b c",
		"a\u200bb\ufeffc":         "a b c",
		"a\u3164b\ufe0fc":         "a b c",
		strings.Repeat("a", 2000): strings.Repeat("a", 24),
		strings.Repeat("é", 2000): strings.Repeat("é", 12),
	} {
		if got := tunnel.Clean(text, 24); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever comes in, one short line comes out that a terminal only prints.
func TestCleanIsAlwaysOneShortLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		got := tunnel.Clean(text, limit)
		hidden := func(r rune) bool { return !unicode.IsPrint(r) }
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, hidden) {
			t.Errorf("Clean(%q, %d) = %q", text, limit, got)
		}
	})
}

// A word that is cut is judged by none of its halves.
func TestSayHidesWhatIsCut(t *testing.T) {
	for text, want := range map[string]string{
		"short":                        "short",
		"at https://s3cr3t@repo/x.jar": "at https://repo/x.jar",
		"open https://s3cr3t" + strings.Repeat("t", 100) + "@repo/x.jar": "open",
		strings.Repeat("t", 100): "",
	} {
		if got := tunnel.Say(text, 24); got != tunnel.Clean(want, 24) {
			t.Errorf("Say(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCheckIdentity(t *testing.T) {
	for id, ok := range map[string]bool{
		"10.0.0.7": true, "2001:db8::1": true, "0f8a-11ee": true, "Host_1.example": true, "..": true, "$SYS": true, "my base": true, "a~!@%^&*()": true,
		strings.Repeat("x", tunnel.MaxIdentity): true, strings.Repeat("x", tunnel.MaxIdentity+1): false,
		"": false, " ": false, " a": false, "a ": false, "a/b": false, "a+b": false, "a#b": false, "a\tb": false, "a\x00b": false, "a\x7fb": false,
		"\u009b31mroot": false, "a\u202eb": false, "a\u2028b": false, "a\u200bb": false, "\u0085x": false, "bäse": false, "a\xffb": false,
	} {
		if err := tunnel.CheckIdentity(id); (err == nil) != ok {
			t.Errorf("CheckIdentity(%q): %v", id, err)
		} else if err != nil && tunnel.Clean(err.Error(), 1000) != err.Error() {
			t.Errorf("the error shows what was refused: %q", err)
		}
	}
}
