package plan

import "strings"

// expand replaces $(NAME) by the variable's value, as a kubelet does in arguments:
// a name that is not there stays as it is, and $$ stands for $.
func expand(args []string, env map[string]string) []string {
	expanded := make([]string, 0, len(args))
	for _, arg := range args {
		expanded = append(expanded, expandOne(arg, env))
	}
	return expanded
}

func expandOne(text string, env map[string]string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		value, known := env[name]
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "(") && closed && known:
			out.WriteString(value)
			text = rest
		default:
			out.WriteByte('$')
			text = after
		}
	}
}
