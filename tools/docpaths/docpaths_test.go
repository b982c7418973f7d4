package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// repository writes files below a new folder of git.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	if err := os.CopyFS(root, tree); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "git", "-C", root, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return root
}

func TestWhatPagesName(t *testing.T) {
	for name, c := range map[string]struct {
		page string // docs/page.md
		want []string
	}{
		"nothing":                      {"# Page", nil},
		"files":                        {"see p/q/code.go, `p/q/code.go` and code.go", nil},
		"a file by the page's folder":  {"`sub/other.go`", nil},
		"a file that is gone":          {"\n\nsee `p/q/gone.go`", []string{"docs/page.md:3: no file p/q/gone.go"}},
		"a name that nobody has":       {"`gone.go`", []string{"docs/page.md:1: no file gone.go"}},
		"files in a code block":        {"```\np/q/gone.go\n```", []string{"docs/page.md:2: no file p/q/gone.go"}},
		"folders and patterns":         {"`p/q`, `p/q/`, `p/q/*.txt`, `Makefile`", nil},
		"a folder that is gone":        {"`p/gone`", []string{"docs/page.md:1: no file or folder p/gone"}},
		"a pattern of nothing":         {"`p/*.txt`", []string{"docs/page.md:1: no file or folder p/*.txt"}},
		"what only looks like a path":  {"`kube-node-lease/x`, `POST /p/gone`, `p/<name>.txt`, p/gone", nil},
		"a build's product":            {"`bin/x`", nil},
		"links":                        {"[a](../p/q/code.go) [b](page.md) [c](https://x.org/gone.md) [d](../docs)", nil},
		"a link to nowhere":            {"[a](gone.md)", []string{"docs/page.md:1: a link leads to gone.md, which is not there"}},
		"links to headings":            {"# A `b` & c-d: e's\n\n[a](#a-b--c-d-es) [b](other.md#other-page)", nil},
		"a heading that is gone":       {"[a](other.md#gone)", []string{"docs/page.md:1: a link leads to other.md#gone, and docs/other.md has no such heading"}},
		"a heading of this page":       {"[a](#gone)", []string{"docs/page.md:1: a link leads to #gone, and docs/page.md has no such heading"}},
		"names in a file":              {"`F`, `T.M`, `p.field` and `C` in `p/q/code.go`; `I` in `p/q/code.go`", nil},
		"a name that is not declared":  {"`F` and `T.G` in `p/q/code.go`", []string{"docs/page.md:1: no T.G in p/q/code.go"}},
		"a name that is only used":     {"`used` in `p/q/code.go`", []string{"docs/page.md:1: no used in p/q/code.go"}},
		"make targets":                 {"`make build test`\n```\nmake build # it\n```", nil},
		"a make target that is gone":   {"`make gone`", []string{"docs/page.md:1: no make target gone"}},
		"make in a sentence":           {"these make trouble", nil},
		"more than one thing in a row": {"`p/gone` `gone.go`", []string{"docs/page.md:1: no file gone.go", "docs/page.md:1: no file or folder p/gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t, map[string]string{
				".gitignore": "/bin/\n", "Makefile": "build:\ntest: build\n", "bin/y": "",
				"p/q/code.go": "package q\n\nconst C = 1\n\ntype T struct{ field int }\n\ntype I interface{ M() }\n\nfunc F() { used() }\n\nfunc (T) M() {}\n",
				"p/q/a.txt":   "", "docs/sub/other.go": "package sub\n", "docs/other.md": "# Other page\n", "docs/page.md": c.page,
			})
			wrong, err := check(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(wrong, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(wrong, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestAFileThatWasDeletedIsNotThere(t *testing.T) {
	root := repository(t, map[string]string{"a/b.go": "package a\n", "page.md": "`a/b.go`\n"})
	if out, err := exec.CommandContext(t.Context(), "git", "-C", root, "add", "-A").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Remove(filepath.Join(root, "a/b.go")); err != nil {
		t.Fatal(err)
	}
	if wrong, err := check(t.Context(), root); err != nil || len(wrong) != 1 {
		t.Errorf("got %q, %v", wrong, err)
	}
}
