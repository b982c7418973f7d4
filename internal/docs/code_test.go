// Package docs compares the project's pages with the code: reasons, names, formats. What
// their commands do is tested in e2e/docs.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the repository's.
const root = "../.."

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sources parses the Go files below folders, without tests.
func sources(t *testing.T, folders ...string) (files []*ast.File) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			files = append(files, file)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// text gives the value of a string literal; ok is false for what is none.
func text(e ast.Expr) (value string, ok bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(lit.Value)
	return value, err == nil
}

// constants gives the string constants of files by name: literals, other constants, and
// sums of both.
func constants(files []*ast.File) map[string]string {
	values := map[string]string{}
	for range 3 { // one may be made of others that stand behind it
		for _, file := range files {
			for _, d := range file.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
					declare(g, values)
				}
			}
		}
	}
	return values
}

func declare(g *ast.GenDecl, values map[string]string) {
	for _, s := range g.Specs {
		spec, ok := s.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, e := range spec.Values {
			if v, ok := evaluate(e, values); ok {
				values[spec.Names[i].Name] = v
			}
		}
	}
}

func evaluate(e ast.Expr, known map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.Ident:
		v, ok := known[e.Name]
		return v, ok
	case *ast.SelectorExpr:
		v, ok := known[e.Sel.Name]
		return v, ok
	case *ast.BinaryExpr:
		x, first := evaluate(e.X, known)
		y, second := evaluate(e.Y, known)
		return x + y, first && second && e.Op == token.ADD
	}
	return text(e)
}
