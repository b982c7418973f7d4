package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// measures are what was counted in one package. Test files count for their lines only.
type measures struct {
	operators, branches int
	byFunc              map[string]int // operators by the function that has them
	structs             []structure
	methods             map[string]int // by type
	code, tests         int            // lines, as wc -l counts them
}

// structure is a struct type.
type structure struct {
	name   string // "" where it has none
	where  token.Position
	fields int
}

// perBranch is how many and/or operators there are for each branch.
func (m measures) perBranch() float64 { return ratio(m.operators, m.branches) }

func ratio(n, of int) float64 { return float64(n) / float64(max(of, 1)) }

// measure counts the files of one folder.
func measure(root, pkg string) (measures, error) {
	m := measures{byFunc: map[string]int{}, methods: map[string]int{}}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pkg), "*.go"))
	if err != nil {
		return m, fmt.Errorf("list files of %s: %w", pkg, err)
	}
	if len(files) == 0 {
		return m, fmt.Errorf("%s: no Go files; remove it from limits.go if the package is gone", pkg)
	}
	for _, path := range files {
		if err := m.addFile(path, pkg+"/"+filepath.Base(path)); err != nil {
			return m, err
		}
	}
	return m, nil
}

// addFile counts one file. Positions name it as name.
func (m *measures) addFile(path, name string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	lines := bytes.Count(text, []byte("\n"))
	if strings.HasSuffix(path, "_test.go") {
		m.tests += lines
		return nil
	}
	m.code += lines
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, 0)
	if err != nil {
		return fmt.Errorf("parse file: %w", err)
	}
	for _, d := range file.Decls {
		m.addDecl(fset, d)
	}
	return nil
}

func (m *measures) addDecl(fset *token.FileSet, d ast.Decl) {
	owner := "(package level)"
	if f, ok := d.(*ast.FuncDecl); ok {
		owner = f.Name.Name
		if f.Recv != nil {
			typ := receiver(f.Recv.List[0].Type)
			m.methods[typ]++
			owner = typ + "." + owner
		}
	}
	named := map[*ast.StructType]string{}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				m.operators++
				m.byFunc[owner]++
			}
		case *ast.TypeSpec:
			if s, ok := n.Type.(*ast.StructType); ok {
				named[s] = n.Name.Name
			}
		case *ast.StructType:
			m.structs = append(m.structs, structure{named[n], fset.Position(n.Pos()), n.Fields.NumFields()})
		default:
			m.branches += branches(n)
		}
		return true
	})
}

// branches is 1 for what asks a question: an if, the condition of a for, a case that is
// not the default. What waits (select) and what walks (range) asks none.
func branches(n ast.Node) int {
	switch n := n.(type) {
	case *ast.IfStmt:
		return 1
	case *ast.ForStmt:
		if n.Cond != nil {
			return 1
		}
	case *ast.CaseClause:
		if n.List != nil {
			return 1
		}
	}
	return 0
}

// receiver is the name of a method's type, without its pointer and type parameters.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.ParenExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}
