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

// quote makes what a base says of a module fit for an Event or a status. The base was given
// the values of Secrets and the credentials of a URL, and exceptions quote what fails.
func (p *planner) quote(text string) string {
	if text == "" {
		return ""
	}
	if p.secrets == nil {
		p.secrets = secretsOf(p.in.Pods)
	}
	for _, s := range p.secrets {
		text = strings.ReplaceAll(text, s, tunnel.Hidden)
	}
	if len(text) >= tunnel.MaxText-utf8Most { // it was cut, perhaps in the middle of one
		text = withoutHalf(text, p.secrets)
	}
	return clip(tunnel.Redact(text))
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
	slices.SortFunc(secrets, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	secrets = slices.Compact(secrets)
	return slices.DeleteFunc(secrets, func(s string) bool { return len(s) < minSecret })
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
// none, and its query, as they are written and as they are meant.
func credentialsOf(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	secrets := []string{u.RawQuery}
	password, has := u.User.Password()
	if !has {
		password = u.User.Username()
	}
	return append(secrets, password, url.PathEscape(password), url.QueryEscape(password))
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
