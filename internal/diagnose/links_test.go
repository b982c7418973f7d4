package diagnose

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each rule leads to a heading of the page of symptoms, and what stands there names the rule.
func TestEachRuleLeadsToItsSymptom(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", troubleshooting))
	if err != nil {
		t.Fatal(err)
	}
	sections, links := sectionsOf(string(text)), linksOf(t)
	for _, name := range RuleNames() {
		if len(links[name]) == 0 {
			t.Errorf("the rule %s leads nowhere", name)
		}
	}
	for rule, to := range links {
		for _, link := range to {
			page, anchor, _ := strings.Cut(link, "#")
			section, there := sections[anchor]
			switch {
			case page != troubleshooting || !there:
				t.Errorf("the rule %s leads to %s, which is no heading of %s", rule, link, troubleshooting)
			case !strings.Contains(section, "`"+rule+"`"):
				t.Errorf("the rule %s leads to %s, which does not name it", rule, link)
			}
		}
	}
}

var (
	linkIs = regexp.MustCompile(`"([a-z-]+)", (doc[A-Z]\w*)\b`)
	docIs  = regexp.MustCompile(`(doc\w+) += troubleshooting \+ "(.*)"`)
)

// linksOf gives where rules lead to, by their names: in the tables, and where findings are
// made without one.
func linksOf(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			code += string(text)
		}
	}
	docs, links := map[string]string{}, map[string][]string{}
	for _, m := range docIs.FindAllStringSubmatch(code, -1) {
		docs[m[1]] = troubleshooting + m[2]
	}
	for _, m := range linkIs.FindAllStringSubmatch(code, -1) {
		links[m[1]] = append(links[m[1]], docs[m[2]])
	}
	return links
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// sectionsOf gives the text under each heading of a page, by the heading as a link names it.
func sectionsOf(text string) map[string]string {
	all, anchor := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if title, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") {
			anchor = strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		}
		all[anchor] += line
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
