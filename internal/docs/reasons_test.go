package docs

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const troubleshooting = "docs/troubleshooting.md"

var (
	camel    = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	humps    = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]+)+$`)
	reasonIs = regexp.MustCompile(`^[Rr]eason[A-Z]`)
)

// noReasons are words in the form of reasons that are none: kinds of Kubernetes, and the
// states of package plan.
var noReasons = []string{"ReplicaSet", "ReplicationController", "DaemonSet", "StatefulSet", "ToSwitch", "ToReplace"}

// reasonsOf gives what the provider tells as reasons: the values of constants that are
// called so, what stands in the place of one in a call that makes an Event, and every
// other word of that form.
func reasonsOf(t *testing.T) map[string]bool {
	t.Helper()
	files := sources(t, "provider")
	reasons := map[string]bool{}
	add := func(word string, form *regexp.Regexp) {
		if form.MatchString(word) && !slices.Contains(noReasons, word) {
			reasons[word] = true
		}
	}
	for name, value := range constants(files) {
		if reasonIs.MatchString(name) {
			add(value, camel)
		}
	}
	for _, word := range literals(files) {
		add(word, humps)
	}
	for _, word := range told(files) {
		add(word, camel)
	}
	return reasons
}

// literals gives the strings that files have.
func literals(files []*ast.File) (all []string) {
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				word, _ := text(lit) // of a number none
				all = append(all, word)
			}
			return true
		})
	}
	return all
}

// told gives the strings in calls that make Events.
func told(files []*ast.File) (words []string) {
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && makesEvent(call) {
				for _, arg := range call.Args {
					word, _ := text(arg)
					words = append(words, word)
				}
			}
			return true
		})
	}
	return words
}

func makesEvent(call *ast.CallExpr) bool {
	of, ok := call.Fun.(*ast.SelectorExpr)
	return ok && strings.EqualFold(of.Sel.Name, "event")
}

// entries gives what stands in the first cells of a page's tables in backticks.
func entries(page string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || cells[0] != "" {
			continue
		}
		for _, m := range span.FindAllStringSubmatch(cells[1], -1) {
			all[m[1]] = true
		}
	}
	return all
}

var span = regexp.MustCompile("`([^`]+)`")

// Each reason that the provider tells has an entry, and each entry in the form of a reason
// is one that it tells. NodeStatusUnknown is Kubernetes' own.
func TestEachReasonIsExplained(t *testing.T) {
	reasons, explained := reasonsOf(t), entries(read(t, troubleshooting))
	if len(reasons) < 50 {
		t.Errorf("only %d reasons were found: %q", len(reasons), slices.Sorted(maps.Keys(reasons)))
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		if !explained[reason] {
			t.Errorf("%s has no entry for the reason %s", troubleshooting, reason)
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(explained)) {
		if camel.MatchString(entry) && !reasons[entry] && entry != "NodeStatusUnknown" {
			t.Errorf("%s explains %s, which nothing tells", troubleshooting, entry)
		}
	}
}

// Each message in the table of the log, and each check that may fail, is in the code.
func TestLogMessagesAreThere(t *testing.T) {
	said := literals(sources(t, "cmd", "election", "internal", "provider", "tunnel"))
	page := read(t, troubleshooting)
	_, log, _ := strings.Cut(page, "## The log")
	messages := entries(log)
	if len(messages) < 20 {
		t.Errorf("only %d messages were found", len(messages))
	}
	for _, message := range slices.Sorted(maps.Keys(messages)) {
		if !slices.ContainsFunc(said, func(l string) bool { return strings.HasPrefix(l, message) }) {
			t.Errorf("%s explains the log message %q, which nothing says", troubleshooting, message)
		}
	}
	for _, check := range checks(page) {
		if !slices.ContainsFunc(said, func(l string) bool { return strings.HasSuffix(l, check) }) {
			t.Errorf("%s explains the check %s, which there is not", troubleshooting, check)
		}
	}
}

// checks gives the names of what a page says "failed" of, as "/livez: NAME failed".
func checks(page string) (names []string) {
	for entry := range entries(page) {
		if name, is := strings.CutSuffix(entry, " failed"); is {
			names = append(names, name[strings.LastIndexByte(name, ' ')+1:])
		}
	}
	return names
}
