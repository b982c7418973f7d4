package arklet

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"module-controller/tunnel"
)

// clean makes one line of printable text of at most limit bytes.
func clean(text string, limit int) string {
	if len(text) > 4*limit {
		text = text[:4*limit] // a rune has at most 4 bytes: the rest is cut anyway
	}
	var b strings.Builder
	for _, r := range text {
		if r == utf8.RuneError {
			r = '?'
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			r = ' '
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// maxTrace is how much of a stack trace is read, in bytes.
const maxTrace = 256 << 10

// rootCause makes an explanation of a stack trace: the innermost cause first, then those
// around it. The outermost exception of a module whose main failed is a mere
// "InvocationTargetException".
func rootCause(text string) string {
	if len(text) > maxTrace {
		text = text[:maxTrace]
	}
	var causes []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case len(causes) == 0 && strings.TrimSpace(line) != "":
			causes = append(causes, line)
		case strings.HasPrefix(strings.TrimSpace(line), "Caused by: "):
			causes = append(causes, strings.TrimPrefix(strings.TrimSpace(line), "Caused by: "))
		}
	}
	slices.Reverse(causes)
	var parts []string
	for _, cause := range causes {
		part := shorten(clean(cause, tunnel.MaxText))
		if part == "" || slices.ContainsFunc(parts, func(p string) bool { return strings.HasSuffix(part, p) }) {
			continue // a wrapper that repeats its cause
		}
		parts = append(parts, part)
	}
	return clean(strings.Join(parts, "; in "), tunnel.MaxText)
}

// shorten removes the packages of the exception names that a line begins with, and gives
// nothing for a wrapper without a message of its own.
func shorten(line string) string {
	line = strings.TrimPrefix(line, "Internal Error: ")
	var names []string
	for {
		name, rest, found := strings.Cut(line, ": ")
		if !isClass(name) {
			break
		}
		names = append(names, name[strings.LastIndexByte(name, '.')+1:])
		if !found {
			line = ""
			break
		}
		line = rest
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return n == "InvocationTargetException" || n == "ArkletRuntimeException" || n == "BizRuntimeException"
	})
	if line != "" {
		names = append(names, line)
	}
	return strings.Join(names, ": ")
}

// isClass reports whether a word is a Java exception class with its package.
func isClass(word string) bool {
	return strings.Contains(word, ".") && !strings.ContainsAny(word, " /\\'\"()[]") &&
		(strings.HasSuffix(word, "Exception") || strings.HasSuffix(word, "Error") || strings.HasSuffix(word, "Throwable"))
}
