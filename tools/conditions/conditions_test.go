package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// module writes files and gives their folder.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	if err := os.CopyFS(root, tree); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestOperatorsAndBranches(t *testing.T) {
	for name, c := range map[string]struct {
		body                string
		operators, branches int
	}{
		"nothing":                        {"", 0, 0},
		"an if":                          {"if a && b || c {}", 2, 1},
		"else if is one more":            {"if a {} else if b {} else {}", 0, 2},
		"an operator outside of an if":   {"return a && b", 1, 0},
		"bits are none":                  {"_ = 1 & 2 | 3", 0, 0},
		"a loop with a condition":        {"for i := 0; i < 3 && a; i++ {}", 1, 1},
		"a loop without one, or a range": {"for { break }; for range 3 {}", 0, 0},
		"cases, but for the default":     {"switch { case a, b: case c: default: }", 0, 2},
		"cases of types":                 {"switch any(a).(type) { case int, string: default: }", 0, 1},
		"what waits":                     {"select { case <-ch: default: }", 0, 0},
		"in a function within":           {"_ = func() bool { return a || b }", 1, 0},
		"in a comment":                   {"// a && b", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := module(t, map[string]string{"p/p.go": "package p\n\nfunc f(a, b, c bool, ch chan int) any {\n" + c.body + "\nreturn nil\n}\n"})
			m, err := measure(root, "p")
			if err != nil {
				t.Fatal(err)
			}
			if m.operators != c.operators || m.branches != c.branches {
				t.Errorf("%d operators, %d branches; want %d and %d", m.operators, m.branches, c.operators, c.branches)
			}
		})
	}
}

func TestTypesAndLines(t *testing.T) {
	root := module(t, map[string]string{
		"p/p.go": `package p

type small struct{ a, b int }

type wide[T any] struct {
	small
	c, d T
	e    struct{ f, g, h, i int }
}

func (w *wide[T]) one() {}
func (wide[T]) two()    {}
func (small) three()    {}
`,
		"p/p_test.go": "package p\n\n// a && b\nfunc (small) four() { if true && true {} }\n",
	})
	m, err := measure(root, "p")
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, s := range widest(m.structs) {
		fields = append(fields, first([]structure{s}, func(s structure) string { return s.name + ":" + string(rune('0'+s.fields)) }))
	}
	if want := []string{"wide:4", ":4", "small:2"}; !slices.Equal(fields, want) {
		t.Errorf("structs %q, want %q", fields, want)
	}
	if m.methods["wide"] != 2 || m.methods["small"] != 1 {
		t.Errorf("methods %v", m.methods)
	}
	if m.operators != 0 || m.code != 13 || m.tests != 4 {
		t.Errorf("%d operators, %d lines of code, %d of tests", m.operators, m.code, m.tests)
	}
}

func TestLimits(t *testing.T) {
	const code = "package p\n\ntype T struct{ a, b, c int }\n\nfunc (t T) one(a, b bool) {\n\tif a && b {\n\t}\n}\n\nfunc (t T) two() {}\n"
	root := module(t, map[string]string{"p/p.go": code, "q/q.go": "package q\n", "q/q_test.go": "package q\n"})
	for name, c := range map[string]struct {
		limits []limit
		pairs  []pair
		want   []string // what the failures say, in this order
	}{
		"all hold": {
			limits: []limit{{pkg: "p", operators: 1, fields: 3, methods: map[string]int{"T": 2}}, {pkg: "q"}},
			pairs:  []pair{{pkgs: []string{"q"}, tests: 1}},
		},
		"what is not limited": {limits: []limit{{pkg: "p", operators: 1}}},
		"each one over": {
			limits: []limit{{pkg: "p", operators: 0.25, fields: 2, methods: map[string]int{"T": 1}}, {pkg: "q"}},
			pairs:  []pair{{pkgs: []string{"p", "q"}, tests: 0.5}},
			want: []string{
				"p: 1.00 and/or operators for each branch (1, 1 branches), at most 0.25; most are in T.one (1)",
				"p/p.go:3: struct T has 3 fields, at most 2",
				"p: type T has 2 methods, at most 1",
				"p and q: 1 lines of tests for 11 lines of code (0.09), at least 0.50",
			},
		},
		"a package that is gone": {
			limits: []limit{{pkg: "r", operators: 1}},
			want:   []string{"r: no Go files; remove it from limits.go if the package is gone"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			report, failures := check(root, c.limits, c.pairs)
			if !slices.Equal(failures, c.want) {
				t.Errorf("failures:\n%s\nwant:\n%s", strings.Join(failures, "\n"), strings.Join(c.want, "\n"))
			}
			if rows := strings.Count(report, "\n"); rows < 1 {
				t.Errorf("no table: %q", report)
			}
		})
	}
}

func TestCodeThatDoesNotParseIsAnError(t *testing.T) {
	root := module(t, map[string]string{"p/p.go": "package p\nfunc {"})
	if _, failures := check(root, []limit{{pkg: "p"}}, nil); len(failures) != 1 || !strings.Contains(failures[0], "p/p.go:2") {
		t.Errorf("failures: %q", failures)
	}
}

func TestTestsInBubbles(t *testing.T) {
	root := module(t, map[string]string{
		"bare/a_test.go":             "package bare\n\nimport _ \"testing/synctest\"\n",
		"kept/a_test.go":             "package kept\n\nimport _ \"testing/synctest\"\n",
		"kept/main_test.go":          "package kept\n\nimport _ \"module-controller/internal/oneproc\"\n",
		"none/a_test.go":             "package none\n\nimport _ \"testing\"\n",
		"code/a.go":                  "package code\n\nimport _ \"testing/synctest\"\n",
		"other/go.mod":               "module other\n",
		"other/a_test.go":            "package other\n\nimport _ \"testing/synctest\"\n",
		"internal/oneproc/a_test.go": "package oneproc\n\nimport _ \"testing/synctest\"\n",
	})
	if got := unserialized(root); len(got) != 1 || !strings.Contains(got[0], "bare: ") {
		t.Errorf("failures: %q", got)
	}
	if got := unserialized(module(t, map[string]string{"p/p_test.go": "package"})); len(got) != 1 || !strings.Contains(got[0], "parse ") {
		t.Errorf("failures: %q", got)
	}
}
