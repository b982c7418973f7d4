package plan

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// minSecret is the length in bytes from which a secret is looked for in what a base says:
// shorter ones stand in ordinary words.
const minSecret = 4

// minPart is the length in bytes from which a part of a secret is looked for: a value of a
// URL's query, or what a tunnel left of a secret that it took for a URL or a password.
const minPart = 6

// quote makes what a base says of a module fit for an Event or a status. The base was given
// the values of Secrets and the credentials of a URL, and exceptions quote what fails.
func (p *planner) quote(text string) string {
	if text == "" {
		return ""
	}
	if p.secrets == nil {
		p.secrets = secretsOf(p.in.Pods)
	}
	return quoted(p.secrets, text)
}

// maxQuoted is how much of a text is looked at, in bytes. It is more than tunnel.Say looks at,
// so that what is cut in two here is not shown.
const maxQuoted = 5 * tunnel.MaxText

// Quote makes what the modules of pods on one base say fit for an Event or a status: the
// values of Secrets that they were given are hidden, and credentials as tunnel.Say hides
// them. The cost is that of looking for each value in a text of a few KB.
func Quote(pods []Pod, text string) string {
	if text == "" {
		return ""
	}
	return quoted(secretsOf(pods), tunnel.Clean(text, maxQuoted))
}

// quoted hides secrets in a clean text. Values are looked for first: what looks like a URL or
// a password may be a part of one.
func quoted(secrets []string, text string) string {
	cut := len(text) >= tunnel.MaxText-utf8Most
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, tunnel.Hidden)
	}
	if cut { // perhaps in the middle of one
		text = withoutHalf(text, secrets)
	}
	return tunnel.Say(text, tunnel.MaxText)
}

// utf8Most is how much shorter than asked for a text may be cut, to end with a whole rune.
const utf8Most = 4

// withoutHalf takes the beginning of a secret off the end of a text.
func withoutHalf(text string, secrets []string) string {
	for _, s := range secrets {
		for n := len(s) - 1; n >= minSecret; n-- {
			if before, is := strings.CutSuffix(text, s[:n]); is {
				return before + tunnel.Hidden
			}
		}
	}
	return text
}

// secretsOf gives what bases were told that must not be shown, the longest first, so that
// none is left because another one is a part of it. It is never nil.
func secretsOf(pods []Pod) []string {
	secrets := []string{}
	for _, pod := range pods {
		for _, c := range pod.Spec.Containers {
			secrets = append(secrets, credentialsOf(c.Image)...)
			for _, e := range c.Env {
				if pod.fromSecret(c.Name, e.Name) {
					secrets = append(secrets, linesOf(e.Value)...)
				}
			}
		}
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return len(s) < minSecret })
	for _, s := range secrets { // the range ends before what is added
		secrets = append(secrets, leftOf(s)...)
	}
	slices.SortFunc(secrets, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	return slices.Compact(secrets)
}

// leftOf gives what may be left of a secret in what a tunnel passes on: it redacts before it
// knows of secrets, and takes one with "//", '@' or spaces in it apart. What stood before is
// hidden as a URL's user, or as a password.
func leftOf(secret string) (left []string) {
	left = append(left, tunnel.Redact(secret))
	if before, _, found := strings.Cut(secret, "//"); found && !isScheme(before) {
		left = append(left, before)
	}
	rest := secret
	for range 2 { // the first word may be a scheme, as in "Authorization: Basic x"
		i := strings.IndexAny(rest, endsOfWords)
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		left = append(left, rest, tunnel.Redact(rest))
	}
	for _, i := range []int{strings.IndexByte(secret, '@'), strings.LastIndexByte(secret, '@')} {
		host := secret[i+1:]
		left = append(left, host, tunnel.Redact("//" + host)[2:])
	}
	return slices.DeleteFunc(left, func(s string) bool { return len(s) < minPart || s == secret })
}

// endsOfWords is what ends a word that tunnel.Redact hides.
const endsOfWords = " \t\"'\\`,;&<>(){}[]"

// isScheme says whether a text is what stands before the "//" of a URL.
func isScheme(text string) bool {
	return strings.HasSuffix(text, ":") && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune(":+.-", r) && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

// linesOf gives the lines of a text as a base's words show them: each is a line of its own
// in a trace.
func linesOf(text string) (lines []string) {
	for line := range strings.Lines(text) {
		lines = append(lines, tunnel.Clean(line, tunnel.MaxText))
	}
	return lines
}

// credentialsOf gives what a URL keeps secret: its password, or its user where there is
// none, its query and the values in it, as they are written and as they are meant.
func credentialsOf(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	secrets := append([]string{u.RawQuery}, valuesOf(u.RawQuery)...)
	password, has := u.User.Password()
	if !has {
		password = u.User.Username()
	}
	return append(secrets, password, url.PathEscape(password), url.QueryEscape(password))
}

// valuesOf gives the values of a query, as they are written and as they are meant.
func valuesOf(query string) (values []string) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		value := pair
		if _, after, named := strings.Cut(pair, "="); named {
			value = after
		}
		values = append(values, value)
		if meant, err := url.QueryUnescape(value); err == nil {
			values = append(values, tunnel.Clean(meant, tunnel.MaxText))
		}
		if meant, err := url.PathUnescape(value); err == nil { // where a '+' is one
			values = append(values, tunnel.Clean(meant, tunnel.MaxText))
		}
	}
	return slices.DeleteFunc(values, func(v string) bool { return len(v) < minPart })
}

// fromSecret says whether a container's environment variable has its value from a Secret.
// Where the spec as declared is not known, it may have.
func (p Pod) fromSecret(container, variable string) bool {
	if p.Declared == nil {
		return variable != EnvVersion && variable != EnvName
	}
	i := slices.IndexFunc(p.Declared.Containers, func(c corev1.Container) bool { return c.Name == container })
	if i < 0 {
		return false
	}
	c := p.Declared.Containers[i]
	for _, e := range slices.Backward(c.Env) {
		if e.Name == variable {
			return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil
		}
	}
	return slices.ContainsFunc(c.EnvFrom, func(f corev1.EnvFromSource) bool { return f.SecretRef != nil })
}
