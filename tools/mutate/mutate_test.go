package main

import (
	"os"
	"os/exec"
	"path/filepath"
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

const (
	head    = "# one is one\n# noticed by: ./p -run ^TestOne$\n"
	changes = "--- a/p/p.go\n+++ b/p/p.go\n@@ -1,5 +1,5 @@\n package p\n \n func One() int {\n-\treturn 1\n+\treturn 2\n }\n"
	code    = "package p\n\nfunc One() int {\n\treturn 1\n}\n"
	test    = "package p\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Error(\"it is not\")\n\t}\n}\n\nfunc TestNothing(t *testing.T) {}\n"
)

// product is a small module with one mutant.
func product(t *testing.T, patch string) string {
	t.Helper()
	return module(t, map[string]string{"go.mod": "module m\n\ngo 1.26\n", "p/p.go": code, "p/p_test.go": test, "mutants/two.patch": patch})
}

// An overlay mutates what is built, and nothing that is there.
func TestAnOverlayTakesTheGuardOut(t *testing.T) {
	root := product(t, head+changes)
	m, err := read(root, "two")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := m.overlay(t.Context(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		passes bool
	}{{nil, true}, {[]string{"-overlay", overlay}, false}} {
		cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"test"}, c.args...), "./p")...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); (err == nil) != c.passes {
			t.Errorf("go test %q: %v\n%s", c.args, err, out)
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "p/p.go")); err != nil || string(text) != code {
		t.Errorf("the product was changed: %v\n%s", err, text)
	}
}

func TestWhatIsWrongWithAMutantIsSaid(t *testing.T) {
	for name, c := range map[string]struct{ patch, want string }{
		"nothing":            {head + changes, ""},
		"no rule":            {changes, "it must begin with"},
		"no file":            {head, "it changes no file"},
		"a new file":         {head + strings.Replace(changes, "a/p/p.go", "a/p/o.go", 1), "p/o.go becomes p/p.go"},
		"other text":         {head + strings.Replace(changes, "return 1", "return 3", 1), "mutants/two.patch does not apply"},
		"a file that is not": {head + strings.ReplaceAll(changes, "p/p.go", "p/q.go"), "read file that it changes"},
		"no Go":              {head + strings.Replace(changes, "return 2", "return return", 1), "what comes of it is no Go"},
		"a test that is not": {strings.Replace(head, "TestOne", "TestTwo", 1) + changes, "no test TestTwo in ./p"},
		"a test of a test":   {strings.Replace(head, "TestOne$", "TestOne$/sub", 1) + changes, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkAll(t.Context(), product(t, c.patch))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAMutantIsNoticedByATestThatFailsForIt(t *testing.T) {
	for name, c := range map[string]struct{ patch, want string }{
		"noticed":           {head + changes, ""},
		"not noticed":       {strings.Replace(head, "TestOne", "TestNothing", 1) + changes, "NOT noticed by go test ./p -run ^TestNothing$: one is one"},
		"does not compile":  {head + strings.Replace(changes, "return 2", "return nil", 1), "build test of ./p"},
		"ends without fail": {head + strings.Replace(strings.Replace(changes, "return 2", "os.Exit(1); return 1", 1), "-1,5 +1,5 @@\n package p\n \n", "-1,5 +1,7 @@\n package p\n \n+import \"os\"\n+\n", 1), "did not fail"},
	} {
		t.Run(name, func(t *testing.T) {
			root := product(t, c.patch)
			m, err := read(root, "two")
			if err != nil {
				t.Fatal(err)
			}
			r := &runner{root: root, tmp: t.TempDir(), whole: map[string]string{}}
			how, err := r.try(t.Context(), m)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %q, %v, want %q", how, err, c.want)
			}
		})
	}
}

// A test that fails anyway shows nothing. Of a simulation it is the same seed that
// must pass.
func TestTheSameTestMustPassWithoutTheMutant(t *testing.T) {
	const broken = "package p\n\nimport (\n\t\"flag\"\n\t\"testing\"\n)\n\nvar seed = flag.Int(\"seed\", 0, \"\")\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Error(\"try -seed=7\")\n\t}\n\tif *seed == FAILS {\n\t\tt.Error(\"it is broken\")\n\t}\n}\n"
	for fails, want := range map[string]string{"1": "", "7": "fails without it too"} {
		root := module(t, map[string]string{
			"go.mod": "module m\n\ngo 1.26\n", "p/p.go": code, "mutants/two.patch": head + changes,
			"p/p_test.go": strings.Replace(broken, "FAILS", fails, 1),
		})
		m, err := read(root, "two")
		if err != nil {
			t.Fatal(err)
		}
		r := &runner{root: root, tmp: t.TempDir(), whole: map[string]string{}}
		how, err := r.try(t.Context(), m)
		switch {
		case want == "" && (err != nil || !strings.HasSuffix(how, "seed 7")):
			t.Errorf("got %q, %v", how, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("got %q, %v, want %q", how, err, want)
		}
	}
}

func TestCommands(t *testing.T) {
	for given, want := range map[string]string{
		"./p -run ^TestOne$":                      "go test ./p -run ^TestOne$",
		"./e -run TestSim -args -seed=1 -verbose": "go test ./e -run TestSim -args -seed=1 -verbose",
	} {
		m, err := parse("two", []byte("# one\n# noticed by: "+given+"\n"+changes))
		if err != nil || m.command() != want {
			t.Errorf("%q, %v, want %q", m.command(), err, want)
		}
	}
}
