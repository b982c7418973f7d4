package docs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"module-controller/e2e/harness"
)

// block is a fenced block of a page.
type block struct {
	line           int // of its first line, from 1
	language, text string
	// shows is the block of language text that stands next under the same heading: what the
	// commands print. Empty for none.
	shows string
}

// chapter is what stands under one heading.
type chapter struct {
	name   string // the page and its heading's anchor: docs/image.md#build-it
	blocks []block
}

func (c chapter) page() string {
	page, _, _ := strings.Cut(c.name, "#")
	return page
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchor is how a link names a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

const fence = "```"

// chaptersOf gives the chapters of a page that have blocks, in the page's order.
func chaptersOf(page, text string) (all []chapter) {
	heading, open := "", false
	var b block
	for n, line := range strings.Split(text, "\n") {
		language, isFence := strings.CutPrefix(line, fence)
		title := strings.TrimLeft(line, "#")
		switch {
		case isFence && !open:
			b, open = block{line: n + 2, language: language}, true
		case isFence:
			open = false
			all = add(all, page+"#"+anchor(heading), b)
		case open:
			b.text += line + "\n"
		case title != line && strings.HasPrefix(title, " "):
			heading = title[1:]
		}
	}
	return all
}

// add adds a block to the last chapter, if it has that name, or to a new one.
func add(all []chapter, name string, b block) []chapter {
	last := len(all) - 1
	if last < 0 || all[last].name != name {
		return append(all, chapter{name, []block{b}})
	}
	blocks := all[last].blocks
	if before := &blocks[len(blocks)-1]; b.language == "text" && before.language == "sh" {
		before.shows = b.text
		return all
	}
	all[last].blocks = append(blocks, b)
	return all
}

// read gives a page's chapters.
func read(t *testing.T, page string) []chapter {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), page))
	if err != nil {
		t.Fatal(err)
	}
	return chaptersOf(page, string(text))
}

func TestChaptersOfAPage(t *testing.T) {
	page := "# A page\n\n```sh\nmake one # this\n```\n\nso that\n\n```text\ndone\n```\n\n## The `second`, of two\n\n" +
		"```yaml\n# no heading\na: b\n```\n```sh\ncat <<'END'\nx\nEND\n```\n\n```sh\nlast\n```\n"
	want := []chapter{
		{"p.md#a-page", []block{{line: 4, language: "sh", text: "make one # this\n", shows: "done\n"}}},
		{"p.md#the-second-of-two", []block{
			{line: 16, language: "yaml", text: "# no heading\na: b\n"},
			{line: 20, language: "sh", text: "cat <<'END'\nx\nEND\n"},
			{line: 26, language: "sh", text: "last\n"},
		}},
	}
	if diff := cmp.Diff(want, chaptersOf("p.md", page), cmp.AllowUnexported(chapter{}, block{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// missing gives the first line of what a page shows that a command did not print, in that
// order; … stands for any text, and any spaces for any others. Empty for none.
func missing(shows, printed string) string {
	lines := strings.Split(printed, "\n")
	for want := range strings.Lines(shows) {
		var parts []string
		for part := range strings.SplitSeq(want, "…") {
			var words []string
			for word := range strings.FieldsSeq(part) {
				words = append(words, regexp.QuoteMeta(word))
			}
			parts = append(parts, strings.Join(words, `\s+`))
		}
		is := regexp.MustCompile(`^\s*` + strings.Join(parts, `.*`) + `\s*$`)
		at := slices.IndexFunc(lines, is.MatchString)
		if at < 0 {
			return strings.TrimSpace(want)
		}
		lines = lines[at+1:]
	}
	return ""
}

func TestMissing(t *testing.T) {
	const printed = "NAME      STATUS   AGE\nvnode.a   Ready    3s\nvnode.b   Ready    4s\n"
	for shows, want := range map[string]string{
		"NAME STATUS AGE\nvnode.… Ready …\n":            "",
		"vnode.b  Ready  …\n":                           "",
		"vnode.… Ready …\nvnode.… Ready …\n":            "",
		"vnode.b Ready …\nvnode.a Ready …\n":            "vnode.a Ready …",
		"vnode.a Ready\n":                               "vnode.a Ready",
		"vnode.a NotReady …\n":                          "vnode.a NotReady …",
		"vnode.… Ready …\nvnode.… Ready …\nvnode.… …\n": "vnode.… …",
	} {
		if got := missing(shows, printed); got != want {
			t.Errorf("of %q %q is missing, want %q", shows, got, want)
		}
	}
}

// A word of commands; a placeholder is one of capitals alone, perhaps behind kind/ or before
// a colon.
var (
	word        = regexp.MustCompile(`\S+`)
	placeholder = regexp.MustCompile(`^(.*/)?([A-Z]{3,})(:?)$`)
)

// bind puts what placeholders are bound to into commands. One that is bound to nothing is an
// error.
func bind(text string, to map[string]func() (string, error)) (string, error) {
	var errs []error
	bound := word.ReplaceAllStringFunc(text, func(found string) string {
		m := placeholder.FindStringSubmatch(found)
		if m == nil || m[2] == "END" { // of a here-document
			return found
		}
		value, known := to[m[2]]
		if !known {
			errs = append(errs, fmt.Errorf("%s is bound to nothing: name it in placeholders", m[2]))
			return found
		}
		v, err := value()
		errs = append(errs, err)
		return m[1] + v + m[3]
	})
	return bound, errors.Join(errs...)
}

func TestBind(t *testing.T) {
	to := map[string]func() (string, error){"POD": func() (string, error) { return "orders-1", nil }}
	for text, want := range map[string]string{
		"kubectl modules why POD\n":           "kubectl modules why orders-1\n",
		"kubectl get pod/POD POD -n x":        "kubectl get pod/orders-1 orders-1 -n x",
		"A=1 make image IMAGE=x; cat <<'END'": "A=1 make image IMAGE=x; cat <<'END'",
		"END\n":                               "END\n",
	} {
		if got, err := bind(text, to); err != nil || got != want {
			t.Errorf("%q became %q (%v), want %q", text, got, err, want)
		}
	}
	if got, err := bind("kubectl drain MACHINE", to); err == nil {
		t.Errorf("an unknown placeholder became %q", got)
	}
}
