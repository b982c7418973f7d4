package tunnel

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes one line of printable text of at most limit bytes: for logs, Events and
// statuses, which terminals show. What is not valid UTF-8 becomes '?'; what is not
// printable, or is invisible, or changes the direction of what follows, a space.
func Clean(text string, limit int) string {
	if len(text) > 4*limit {
		text = text[:4*limit] // a rune has at most 4 bytes: the rest is cut anyway
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == utf8.RuneError:
			r = '?'
		case !visible(r):
			r = ' '
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			return strings.TrimSpace(b.String())
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// visible says whether a rune can be shown. Letters that are drawn as nothing are none.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Say makes a base's words fit to be shown: redacted, cleaned and cut to limit bytes. It
// looks at no more than is needed for that: the cost is bounded by limit.
func Say(text string, limit int) string { return Clean(Redact(head(text, 4*limit)), limit) }

// head cuts a text. A word that is cut in two is left out whole: half a URL cannot be
// told from a harmless word.
func head(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[:limit]
	return text[:strings.LastIndexAny(text, " \t\r\n")+1]
}
