package tunnel_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"module-controller/tunnel"
)

// What is named s3cr3t is never shown.
func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "no stock today": "no stock today", "orders:1.0.0 is installed": "orders:1.0.0 is installed",
		"file:///x.jar":                                                   "file:///x.jar",
		"http://127.0.0.1:8999/nope.jar":                                  "http://127.0.0.1:8999/nope.jar",
		"http://[2001:db8::1]:80/x.jar":                                   "http://[2001:db8::1]:80/x.jar",
		"https://ci:s3cr3t@repo/x.jar":                                    "https://repo/x.jar",
		"https://s3cr3t@github.com/x.jar":                                 "https://github.com/x.jar",
		"https://repo/x.jar?sig=s3cr3t":                                   "https://repo/x.jar",
		"https://repo/x.jar?a=b//s3cr3t":                                  "https://repo/x.jar",
		"https://repo/x.jar#s3cr3t":                                       "https://repo/x.jar",
		"https://ci:s3cr3t":                                               "https://xxxxx",
		"https://ci:s3cr3t/more@repo/x.jar":                               "https://xxxxx",
		"https://ci:s3cr3t?more@repo/x.jar":                               "https://xxxxx",
		"https://proxy/https://ci:s3cr3t@repo/x.jar":                      "https://proxy/https://repo/x.jar",
		"no protocol: //ci:s3cr3t@repo/x.jar":                             "no protocol: //repo/x.jar",
		"code: 403 for URL: https://ci:s3cr3t@repo/x.jar?t=s3cr3t, retry": "code: 403 for URL: https://repo/x.jar retry",
		`open "https://s3cr3t@repo/x.jar": refused`:                       `open "https://repo/x.jar": refused`,
		"jdbc:mysql://db:3306/shop?user=u&password=s3cr3t":                "jdbc:mysql://db:3306/shop",
		"password=s3cr3t, user=u":                                         "password=xxxxx, user=u",
		"DB_PASSWORD = s3cr3t":                                            "DB_PASSWORD = xxxxx",
		"db.password: s3cr3t!":                                            "db.password: xxxxx",
		`{"token":"s3cr3t","a":1}`:                                        `{"token":"xxxxx","a":1}`,
		`{\"apiKey\": \"s3cr3t\"}`:                                        `{\"apiKey\": \"xxxxx\"}`,
		"X-Amz-Signature=s3cr3t&x=1":                                      "X-Amz-Signature=xxxxx&x=1",
		"Authorization: Basic s3cr3t":                                     "Authorization: Basic xxxxx",
		"authorization=[Bearer s3cr3t]":                                   "authorization=[Bearer xxxxx]",
		"sent Bearer s3cr3t to repo":                                      "sent Bearer xxxxx to repo",
		"using generated security password: s3cr3t":                       "using generated security password: xxxxx",
		"password=":                      "password=",
		"the secret-service: no answer":  "the secret-service: no answer",
		"Unexpected token 'x' in 3: EOF": "Unexpected token 'x' in 3: EOF",
	} {
		if got := tunnel.Redact(text); got != want || strings.Contains(got, "s3cr3t") {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

// What was redacted before it is redacted again shows no more, and may show less: a host
// whose port was hidden is none.
func TestRedactingTwiceShowsNoMore(t *testing.T) {
	words := rapid.SampledFrom([]string{"//", "/", ":", "=", " ", "\"", "@", "?", "#", "https:", "password", "token", "Bearer", "abcdefgh", "\\", "[", "]", "é", "\xff"})
	shown := func(text string) int { return len(strings.ReplaceAll(text, tunnel.Hidden, "")) }
	rapid.Check(t, func(t *rapid.T) {
		once := tunnel.Redact(strings.Join(rapid.SliceOf(words).Draw(t, "text"), ""))
		if again := tunnel.Redact(once); shown(again) > shown(once) {
			t.Errorf("%q becomes %q", once, again)
		}
	})
}

// A user and a password in a URL are hidden whatever stands around it.
func TestRedactFindsEachURL(t *testing.T) {
	words := rapid.SliceOf(rapid.SampledFrom([]string{"//", "/", " ", "https://h/", "x", "\"", "=", ": ", "%", "\n"}))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(words.Draw(t, "before"), "") + "https://ci:s3cr3t@repo/x.jar?s3cr3t" + strings.Join(words.Draw(t, "after"), "")
		if got := tunnel.Redact(text); strings.Contains(got, "s3cr3t") {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
