package plan

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"module-controller/tunnel"
)

// clip makes one line of text of at most tunnel.MaxText bytes without control
// characters.
func clip(text string) string { return clipTo(text, tunnel.MaxText) }

// clipTo is clip for another number of bytes.
func clipTo(text string, most int) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		text = text[:most]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	return strings.TrimSpace(text)
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// redact hides what a URL may keep secret: its password and its query.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	if u.RawQuery != "" {
		u.RawQuery = "xxxxx"
	}
	return u.Redacted()
}
