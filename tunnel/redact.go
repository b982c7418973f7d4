package tunnel

import (
	"slices"
	"strings"
)

// Hidden stands where a secret stood.
const Hidden = "xxxxx"

// Redact hides the credentials in a text: of a URL it keeps scheme, host and path, and of
// what is named like a password the name. It is for what bases quote, and for URLs of ours;
// it cannot know a secret that looks like any other word. Redacting twice is as redacting
// once. The cost is linear in the text.
func Redact(text string) string { return redactPairs(redactURLs(text)) }

// redactURLs finds URLs by their "//", with or without a scheme. Spaces and quotes end one;
// brackets and commas may be part of it.
func redactURLs(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "//")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexAny(rest, " \t\r\n\"'<>`")
		if end < 0 {
			end = len(rest)
		}
		url := rest[:end]
		if i := strings.IndexAny(url, "?#"); i >= 0 {
			url = url[:i]
		}
		for part := range strings.SplitSeq(url, "//") { // a path may hold another URL
			b.WriteString("//" + redactAuthority(part))
		}
		text = rest[end:]
	}
}

// redactAuthority takes the user out of what follows the "//" of a URL. An authority that
// is none is hidden whole: it may be the beginning of a password with a '/' in it.
func redactAuthority(part string) string {
	authority, path := part, ""
	if i := strings.IndexByte(part, '/'); i >= 0 {
		authority, path = part[:i], part[i:]
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	if !isAuthority(authority) {
		return Hidden
	}
	return authority + path
}

// isAuthority says whether a text can be a host with or without a port.
func isAuthority(text string) bool {
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
	}
	isPort := strings.Trim(port, "0123456789") == ""
	return isPort && (strings.HasPrefix(host, "[") || !strings.Contains(host, ":"))
}

// redactPairs hides the values of what is named like a secret: "password=x",
// `"token":"x"`, "secret: x", "Authorization: Bearer x".
func redactPairs(text string) string {
	var b strings.Builder
	done := 0 // how much of text is written
	for i := 0; i < len(text); i++ {
		if strings.IndexByte("=: ", text[i]) < 0 || !isSecret(text[done:i], text[i]) {
			continue
		}
		from, to := valueAfter(text, i)
		b.WriteString(text[done:from])
		if from < to {
			b.WriteString(Hidden)
		}
		done, i = to, max(i, to-1)
	}
	return b.String() + text[done:]
}

// secretNames are the words by which secrets are named, in lower case.
var secretNames = []string{"password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "api_key", "api-key",
	"accesskey", "access_key", "access-key", "privatekey", "private_key", "private-key", "credential", "credentials",
	"authorization", "signature", "jsessionid"}

// isSecret says whether the last word of what stands before a separator names a secret.
// Before '=' it may have more in it; a colon also stands in prose.
func isSecret(before string, separator byte) bool {
	if separator == ' ' {
		return strings.EqualFold(lastWord(before), "bearer")
	}
	word := strings.ToLower(lastWord(strings.TrimRight(before, ` "'\`)))
	if len(word) < len("pwd") {
		return false
	}
	in := strings.HasSuffix
	if separator == '=' {
		in = strings.Contains
	}
	return slices.ContainsFunc(secretNames, func(name string) bool { return in(word, name) })
}

// lastWord is the name at the end of a text. None that counts is longer than 64 bytes.
func lastWord(text string) string {
	text = text[max(0, len(text)-64):]
	i := strings.LastIndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
	return text[i+1:]
}

// schemes are the words that may stand between "Authorization:" and what is secret.
var schemes = []string{"basic", "bearer", "digest", "negotiate", "token"}

// valueAfter gives where the value begins and ends that follows a separator at i.
func valueAfter(text string, i int) (from, to int) {
	from, to = word(text, i)
	if slices.Contains(schemes, strings.ToLower(text[from:min(to, from+16)])) && to < len(text) {
		from, to = word(text, to)
	}
	return from, to
}

// word gives where the next word begins and ends from i on.
func word(text string, i int) (from, to int) {
	rest := strings.TrimLeft(text[i:], " =:\"'\\")
	from, to = len(text)-len(rest), len(text)
	if n := strings.IndexAny(rest, " \t\r\n\"'\\,;&<>(){}[]"); n >= 0 {
		to = from + n
	}
	return from, to
}
