package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runbooks is the page that `runbook_url` names.
const runbooks = "docs/runbooks.md"

// sections gives the sections of the page that are an alert's, by its name.
func sections(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(Root(), runbooks))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		all[name] = text
	}
	return all
}

// Each alert has its section, to which it leads, and each section its alert. A section says
// what it means, what that does, what to look at and what to do.
func TestEachAlertHasARunbook(t *testing.T) {
	groups, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	var alerts, headings []string
	for _, r := range Each(groups) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		if got, want := r.Annotations["runbook_url"], runbooks+"#"+strings.ToLower(r.Alert); got != want {
			t.Errorf("%s leads to %q, want %q", r.Alert, got, want)
		}
	}
	command := regexp.MustCompile("(?m)^```sh\n|^\\*\\*Look\\.\\*\\* \\S")
	for name, text := range sections(t) {
		headings = append(headings, name)
		for _, part := range []string{"**Meaning.** ", "**Impact.** ", "**Look.**", "**Do.** "} {
			if strings.Count(text, part) != 1 {
				t.Errorf("%s has %q %d times", name, part, strings.Count(text, part))
			}
		}
		if !command.MatchString(text) {
			t.Errorf("%s says nothing to look at", name)
		}
	}
	slices.Sort(alerts)
	slices.Sort(headings)
	if diff := cmp.Diff(alerts, headings); diff != "" {
		t.Errorf("alerts and sections (-alerts +sections):\n%s", diff)
	}
}
