package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// tree is what is there to be named.
type tree struct {
	root    string
	files   map[string]bool // by path below root, with slashes
	folders map[string]bool
	names   map[string]bool // of files, without their folder
	targets map[string]bool // of make
	// declared and headings are read when a page names them first.
	declared map[string]map[string]bool // by file
	headings map[string]map[string]bool // by page
}

// newTree lists what git keeps or would keep below root.
func newTree(ctx context.Context, root string) (*tree, error) {
	cmd := exec.CommandContext(ctx, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	t := &tree{
		root: root, files: map[string]bool{}, folders: map[string]bool{}, names: map[string]bool{}, targets: map[string]bool{},
		declared: map[string]map[string]bool{}, headings: map[string]map[string]bool{},
	}
	for file := range strings.Lines(string(out)) {
		file = strings.TrimSpace(file)
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			continue // deleted, and not committed
		}
		t.files[file], t.names[path.Base(file)] = true, true
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			t.folders[dir] = true
		}
	}
	return t, t.readTargets()
}

var target = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)

func (t *tree) readTargets() error {
	if !t.files["Makefile"] {
		return nil
	}
	text, err := t.read("Makefile")
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		t.targets[m[1]] = true
	}
	return err
}

func (t *tree) read(file string) (string, error) {
	text, err := os.ReadFile(filepath.Join(t.root, file))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return string(text), nil
}

// has says whether a file or folder is there; a pattern must match one.
func (t *tree) has(name string) bool {
	name = path.Clean(name)
	if !strings.Contains(name, "*") {
		return t.files[name] || t.folders[name]
	}
	for file := range t.files {
		if ok, _ := path.Match(name, file); ok {
			return true
		}
	}
	return false
}

// declares says whether a Go file declares a name: a type, function, method, field,
// constant or variable.
func (t *tree) declares(file, name string) (bool, error) {
	if t.declared[file] == nil {
		text, err := t.read(file)
		if err != nil {
			return false, err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err != nil {
			return false, fmt.Errorf("parse file: %w", err)
		}
		t.declared[file] = declarations(parsed)
	}
	return t.declared[file][name], nil
}

func declarations(file *ast.File) map[string]bool {
	names := map[string]bool{}
	add := func(idents ...*ast.Ident) {
		for _, i := range idents {
			names[i.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.StructType:
			addFields(n.Fields, add)
		case *ast.InterfaceType:
			addFields(n.Methods, add)
		}
		return true
	})
	return names
}

func addFields(fields *ast.FieldList, add func(...*ast.Ident)) {
	for _, f := range fields.List {
		add(f.Names...)
	}
}
