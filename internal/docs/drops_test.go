package docs

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dropping are calls that have the reason of a dropped message among their arguments.
var dropping = []string{"forbid", "refuse", "drop", "Dropped", "lose"}

var snake = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// dropsOf gives the reasons why messages are dropped: what stands in such calls, the kinds of
// the provider's refusals, the reasons of package arklet, and what a function called refuse
// returns.
func dropsOf(t *testing.T) map[string]bool {
	t.Helper()
	reasons := map[string]bool{}
	for _, file := range sources(t, "provider", "tunnel/http", "tunnel/mqtt", "tunnel/internal/arklet") {
		ast.Inspect(file, func(n ast.Node) bool {
			for _, e := range reasonsIn(n, file.Name.Name) {
				if word, ok := text(e); ok && snake.MatchString(word) {
					reasons[word] = true
				}
			}
			return true
		})
	}
	return reasons
}

// reasonsIn gives what may be reasons in a node itself, of a file of a package.
func reasonsIn(n ast.Node, of string) (all []ast.Expr) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if slices.Contains(dropping, called(n)) && of != "arklet" { // there it is a constant
			return n.Args
		}
	case *ast.CompositeLit:
		if is(n.Type, "refusal") {
			return fields(n, "kind")
		}
	case *ast.ValueSpec:
		if is(n.Type, "Reason") || slices.Contains([]string{"reasonContender", "subscriptionRefused"}, n.Names[0].Name) {
			return n.Values
		}
	case *ast.FuncDecl:
		if n.Name.Name == "refuse" {
			return returned(n)
		}
	}
	return nil
}

// fields gives the value of a field that a literal sets.
func fields(lit *ast.CompositeLit, name string) (values []ast.Expr) {
	for _, e := range lit.Elts {
		if field, ok := e.(*ast.KeyValueExpr); ok && is(field.Key, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

// returned gives what a function returns.
func returned(f *ast.FuncDecl) (values []ast.Expr) {
	ast.Inspect(f, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok {
			values = append(values, r.Results...)
		}
		return true
	})
	return values
}

func is(e ast.Expr, name string) bool {
	i, ok := e.(*ast.Ident)
	return ok && i.Name == name
}

// called gives the name of a function or method that is called.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// Each reason why a message is dropped has a row, and each row is one of them.
func TestEachDropIsExplained(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "docs/security.md"), "### Why a message was refused")
	section, _, _ = strings.Cut(section, "\n### ")
	drops, explained := slices.Sorted(maps.Keys(dropsOf(t))), slices.Sorted(maps.Keys(entries(section)))
	for _, reason := range drops {
		if !slices.Contains(explained, reason) {
			t.Errorf("docs/security.md has no entry for the reason %s", reason)
		}
	}
	for _, reason := range explained {
		if !slices.Contains(drops, reason) {
			t.Errorf("docs/security.md explains %s, for which nothing is dropped", reason)
		}
	}
}
