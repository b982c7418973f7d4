package plan

import "strings"

// expand replaces $(NAME) by the variable's value, as a kubelet does in arguments:
// a name that is not there stays as it is, and $$ stands for $. It ends soon after the
// result is longer than any that can be used.
func expand(args []string, env map[string]string) []string {
	expanded := make([]string, 0, len(args))
	longest, size := 0, 0
	for name := range env {
		longest = max(longest, len(name))
	}
	for _, arg := range args {
		text := Expand(arg, env, longest)
		expanded = append(expanded, text)
		if size += len(text); size > maxSettings {
			break
		}
	}
	return expanded
}

// Expand expands one argument, or the value of a variable. No name in env is longer than
// longest: further on a closing bracket is not looked for.
func Expand(text string, env map[string]string, longest int) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found || out.Len() > maxSettings {
			return out.String()
		}
		name, closed := nameIn(after, longest)
		value, known := env[name]
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case closed && known:
			out.WriteString(value)
			text = after[len(name)+len("()"):]
		default:
			out.WriteByte('$')
			text = after
		}
	}
}

// nameIn is the name in the brackets that a text begins with.
func nameIn(text string, longest int) (name string, closed bool) {
	name, opened := strings.CutPrefix(text, "(")
	if !opened {
		return "", false
	}
	name, _, closed = strings.Cut(name[:min(len(name), longest+1)], ")")
	return name, closed
}
