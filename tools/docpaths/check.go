package main

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// check gives what the pages below root name that is not there.
func check(ctx context.Context, root string) (wrong []string, err error) {
	t, err := newTree(ctx, root)
	if err != nil {
		return nil, err
	}
	for _, page := range slices.Sorted(maps.Keys(t.files)) {
		if path.Ext(page) != ".md" {
			continue
		}
		found, err := t.checkPage(page)
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, found...)
	}
	return wrong, nil
}

func (t *tree) checkPage(page string) (wrong []string, err error) {
	text, err := t.read(page)
	if err != nil {
		return nil, err
	}
	fenced, n := false, 0
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		found, err := t.checkLine(page, line, fenced)
		if err != nil {
			return nil, err
		}
		for _, what := range found {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %s", page, n, what))
		}
	}
	return wrong, nil
}

var (
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span   = regexp.MustCompile("`([^`]+)`")
	goFile = regexp.MustCompile(`[\w.-]+(?:/[\w.*-]+)*\.go\b`)
	// located is names, each in backticks, that a page says are in a file.
	located = regexp.MustCompile("((?:`[\\w.]+`(?:, | and )?)+) in `([\\w./-]+\\.go)`")
)

// checkLine says what a line names that is not there. In a code block only Go files and
// make targets are looked for.
func (t *tree) checkLine(page, line string, fenced bool) (wrong []string, err error) {
	for _, file := range goFile.FindAllString(line, -1) {
		if !t.hasFile(page, file) {
			wrong = append(wrong, "no file "+file)
		}
	}
	if fenced {
		return append(wrong, t.checkMake(line)...), nil
	}
	for _, m := range span.FindAllStringSubmatch(line, -1) {
		wrong = append(wrong, t.checkSpan(m[1])...)
	}
	for _, m := range link.FindAllStringSubmatch(line, -1) {
		found, err := t.checkLink(page, m[1])
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, found...)
	}
	for _, m := range located.FindAllStringSubmatch(line, -1) {
		found, err := t.checkNames(m[1], m[2])
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, found...)
	}
	return wrong, nil
}

// hasFile says whether a Go file is there that is named by its path, below the root or
// the page's folder, or by its name alone.
func (t *tree) hasFile(page, file string) bool {
	if !strings.Contains(file, "/") {
		return t.names[file]
	}
	return t.has(file) || t.has(path.Join(path.Dir(page), file))
}

var (
	pathLike = regexp.MustCompile(`^[\w.*-]+(/[\w.*-]+)+/?$`)
	makes    = regexp.MustCompile(`\bmake ((?:[a-z][a-z0-9-]*\s?)+)`)
)

// checkSpan looks for a path that begins with a folder of ours. Go files are found
// without this.
func (t *tree) checkSpan(text string) (wrong []string) {
	top, _, _ := strings.Cut(text, "/")
	if pathLike.MatchString(text) && path.Ext(text) != ".go" && t.folders[top] && !t.has(text) {
		wrong = append(wrong, "no file or folder "+text)
	}
	if strings.HasPrefix(text, "make ") {
		wrong = append(wrong, t.checkMake(text)...)
	}
	return wrong
}

func (t *tree) checkMake(line string) (wrong []string) {
	for _, m := range makes.FindAllStringSubmatch(line, -1) {
		for name := range strings.FieldsSeq(m[1]) {
			if !t.targets[name] {
				wrong = append(wrong, "no make target "+name)
			}
		}
	}
	return wrong
}

// checkLink follows a link that is relative to its page.
func (t *tree) checkLink(page, to string) (wrong []string, err error) {
	if strings.Contains(to, ":") { // another site's
		return nil, nil
	}
	file, anchor, anchored := strings.Cut(to, "#")
	target := page
	if file != "" {
		target = path.Join(path.Dir(page), file)
	}
	switch {
	case !t.has(target):
		return []string{"a link leads to " + to + ", which is not there"}, nil
	case !anchored || path.Ext(target) != ".md":
		return nil, nil
	}
	headings, err := t.headingsOf(target)
	if err == nil && !headings[anchor] {
		wrong = append(wrong, fmt.Sprintf("a link leads to %s, and %s has no such heading", to, target))
	}
	return wrong, err
}

// checkNames looks for names, each in backticks, in a Go file. Of `Type.Method` it is the
// last part that must be declared there.
func (t *tree) checkNames(names, file string) (wrong []string, err error) {
	if !t.files[file] {
		return nil, nil // which is said already, or is named without its folder
	}
	for _, m := range span.FindAllStringSubmatch(names, -1) {
		name := m[1][strings.LastIndexByte(m[1], '.')+1:]
		is, err := t.declares(file, name)
		if err != nil {
			return nil, err
		}
		if !is {
			wrong = append(wrong, fmt.Sprintf("no %s in %s", m[1], file))
		}
	}
	return wrong, nil
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// headingsOf gives the anchors of a page as GitHub makes them of its headings.
func (t *tree) headingsOf(page string) (map[string]bool, error) {
	if t.headings[page] != nil {
		return t.headings[page], nil
	}
	text, err := t.read(page)
	if err != nil {
		return nil, err
	}
	anchors := map[string]bool{}
	for line := range strings.Lines(text) {
		hashes := strings.TrimLeft(line, "#")
		if len(hashes) == len(line) || !strings.HasPrefix(hashes, " ") {
			continue
		}
		text := notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(hashes)), "")
		anchors[strings.ReplaceAll(text, " ", "-")] = true
	}
	t.headings[page] = anchors
	return anchors, nil
}
