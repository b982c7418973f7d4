package arklet

import (
	"slices"
	"strings"

	"module-controller/tunnel"
)

// maxTrace is how much of a stack trace is read, in bytes; maxCauses how many of its
// exceptions are kept: the outermost and the last ones, for the last is the root.
const (
	maxTrace  = 256 << 10
	maxCauses = 32
)

// rootCause makes an explanation of a stack trace: the innermost cause first, then those
// around it. The outermost exception of a module whose main failed is a mere
// "InvocationTargetException".
func rootCause(text string) string {
	var parts []string
	for _, cause := range slices.Backward(causes(text)) {
		part := shorten(tunnel.Say(cause, tunnel.MaxText))
		if part == "" || slices.ContainsFunc(parts, func(p string) bool { return strings.HasSuffix(part, p) }) {
			continue // a wrapper that repeats its cause
		}
		parts = append(parts, part)
	}
	return tunnel.Clean(strings.Join(parts, "; in "), tunnel.MaxText)
}

// causes gives the exceptions that a stack trace names, the outermost first.
func causes(text string) (causes []string) {
	if len(text) > maxTrace {
		text = text[:strings.LastIndexByte(text[:maxTrace], '\n')+1]
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		cause, is := strings.CutPrefix(line, "Caused by: ")
		switch {
		case line == "":
		case len(causes) == 0:
			causes = append(causes, line)
		case is && len(causes) < maxCauses:
			causes = append(causes, cause)
		case is: // the second is the least telling: the root is at the end, the caller's view at the start
			copy(causes[1:], causes[2:])
			causes[maxCauses-1] = cause
		}
	}
	return causes
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
