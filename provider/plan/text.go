package plan

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"module-controller/tunnel"
)

// clip makes one line of printable text of at most tunnel.MaxText bytes.
func clip(text string) string { return tunnel.Clean(text, tunnel.MaxText) }

// unprintable says of what a user wrote that it has characters which cannot be shown.
func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// redact gives a URL without what it may keep secret.
func redact(raw string) string {
	if isPlain(raw) {
		return raw
	}
	if _, err := url.Parse(raw); err != nil {
		return "(not a URL)"
	}
	return tunnel.Redact(raw)
}

// isPlain says of a URL, cheaply, that there is nothing in it that could keep a secret: most
// are so, and each look at a base comes by all of them.
func isPlain(raw string) bool {
	scheme, rest, _ := strings.Cut(raw, "://")
	return slices.Contains(jarSchemes, scheme) && strings.Trim(rest, wordRunes+"/") == ""
}
