package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// sbom is what is looked at of a CycloneDX list.
type sbom struct {
	Format   string `json:"bomFormat"`
	Version  string `json:"specVersion"`
	Metadata struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

type component struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	URL      string `json:"purl"`
	Licences []any  `json:"licenses"`
	Evidence struct {
		Licences []any `json:"licenses"`
	} `json:"evidence"`
}

// What make sbom writes names each module that is linked, with its version and its licence, and
// has the text of each licence beside it. Of Go's own, std, only the text is there. It is made in
// a clone of what was committed.
func TestSBOM(t *testing.T) {
	root := t.TempDir()
	for _, args := range [][]string{{"git", "clone", "-q", "../..", root}, {"make", "-C", root, "sbom"}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "dist", "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list sbom
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if list.Format != "CycloneDX" || list.Version != "1.6" || list.Metadata.Component.Name != "module-controller" {
		t.Errorf("it is %s %s of %s", list.Format, list.Version, list.Metadata.Component.Name)
	}
	linked, err := linked(root, "./cmd/module-controller")
	if err != nil {
		t.Fatal(err)
	}
	linked = slices.DeleteFunc(linked, func(m module) bool { return m.path == list.Metadata.Component.Name })
	for _, m := range linked {
		at := slices.IndexFunc(list.Components, func(c component) bool { return c.Name == m.path || m.path == "go" && c.Name == "std" })
		if at < 0 {
			t.Errorf("%s is not in it", m.path)
			continue
		}
		switch c := list.Components[at]; {
		case c.Version != m.version, c.URL == "":
			t.Errorf("%s %s is in it as %s %s", m.path, m.version, c.Version, c.URL)
		case m.path != "go" && len(c.Licences)+len(c.Evidence.Licences) == 0:
			t.Errorf("%s has no licence in it", m.path)
		}
		if texts, _ := filepath.Glob(filepath.Join(root, "dist", "licences", m.path+"@"+m.version, "*")); len(texts) == 0 {
			t.Errorf("no text of a licence of %s was written", m.path)
		}
	}
	if len(list.Components) != len(linked) {
		t.Errorf("%d modules are in it, and %d are linked", len(list.Components), len(linked))
	}
}
