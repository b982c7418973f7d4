package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What a package's tests import that run in bubbles, and what has them survive that under
// the race detector; its own comment says why.
const (
	bubbles = "testing/synctest"
	oneproc = "module-controller/internal/oneproc"
)

// unserialized says which packages of a module have tests in bubbles that run on several
// processors under the race detector.
func unserialized(root string) (failures []string) {
	imported := map[string]map[string]bool{} // by folder: what its tests import
	err := filepath.WalkDir(root, func(path string, is fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case is.IsDir() && path != root && otherModule(path):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		folder := filepath.Dir(path)
		if imported[folder] == nil {
			imported[folder] = map[string]bool{}
		}
		return addImports(path, imported[folder])
	})
	if err != nil {
		return []string{err.Error()}
	}
	for _, folder := range slices.Sorted(maps.Keys(imported)) {
		has := imported[folder]
		if has[bubbles] && !has[oneproc] && !strings.HasSuffix(filepath.ToSlash(folder), strings.TrimPrefix(oneproc, "module-controller/")) {
			failures = append(failures, fmt.Sprintf("%s: tests import %s, and none imports %s, as they must", folder, bubbles, oneproc))
		}
	}
	return failures
}

// otherModule says that a folder is a module of its own, which may not import ours.
func otherModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

// addImports adds what a file imports.
func addImports(path string, to map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	for _, i := range file.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return fmt.Errorf("parse %s: %w", path, err)
		}
		to[name] = true
	}
	return nil
}
