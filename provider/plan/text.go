package plan

import (
	"net/url"
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
	if _, err := url.Parse(raw); err != nil {
		return "(not a URL)"
	}
	return tunnel.Redact(raw)
}
