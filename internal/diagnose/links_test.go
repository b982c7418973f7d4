package diagnose

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each page that a rule names is there, and has the heading.
func TestPagesAreThere(t *testing.T) {
	var docs []string
	for _, r := range memberRules {
		docs = append(docs, r.doc)
	}
	for _, r := range baseRules {
		docs = append(docs, r.doc)
	}
	for _, r := range waitingRules {
		docs = append(docs, r.doc)
	}
	for _, r := range boundRules {
		docs = append(docs, r.doc)
	}
	for _, r := range basePodRules {
		docs = append(docs, r.doc)
	}
	docs = append(docs, docWho, docBehind, docInstallation, docRefused)
	for _, doc := range docs {
		page, anchor, _ := strings.Cut(doc, "#")
		text, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Error(err)
			continue
		}
		if anchor != "" && !headings(string(text))[anchor] {
			t.Errorf("%s has no heading #%s", page, anchor)
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// headings are a page's, as a link names them.
func headings(text string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		if title, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") {
			all[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")] = true
		}
	}
	return all
}

// The page of the command explains each rule: scripts match on their names.
func TestEachRuleIsOnThePage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubectl-modules.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range RuleNames() {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/kubectl-modules.md has no `%s`", name)
		}
	}
}
