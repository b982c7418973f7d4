package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is a patch that breaks one rule, and the test that must notice.
type mutant struct {
	name, rule string
	patch      []byte
	files      []string // that it changes, below the module's folder
	pkg        string   // the folder of the test, such as "./shard"
	run        string   // the test, as -run takes it
	args       []string // the test's own
}

// folder is where the patches are.
const folder = "mutants"

// load reads all mutants, in the order of their names.
func load(root string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("list mutants: %w", err)
	}
	var all []mutant
	var errs []error
	for _, path := range paths {
		m, err := read(root, strings.TrimSuffix(filepath.Base(path), ".patch"))
		errs = append(errs, err)
		all = append(all, m)
	}
	if len(all) == 0 {
		errs = append(errs, fmt.Errorf("no patches in %s", filepath.Join(root, folder)))
	}
	return all, errors.Join(errs...)
}

func read(root, name string) (mutant, error) {
	text, err := os.ReadFile(filepath.Join(root, folder, name+".patch"))
	if err != nil {
		return mutant{}, fmt.Errorf("read mutant: %w", err)
	}
	m, err := parse(name, text)
	if err != nil {
		return mutant{}, fmt.Errorf("%s/%s.patch: %w", folder, name, err)
	}
	return m, nil
}

var (
	header  = regexp.MustCompile(`\A# (.+)\n# noticed by: (\S+) -run (\S+)(?: -args (.+))?\n`)
	changed = regexp.MustCompile(`(?m)^--- a/(\S+).*\n\+\+\+ b/(\S+)`)
)

func parse(name string, text []byte) (mutant, error) {
	h := header.FindStringSubmatch(string(text))
	if h == nil {
		return mutant{}, errors.New(`it must begin with "# RULE" and "# noticed by: PACKAGE -run TEST [-args ARGUMENTS]"`)
	}
	m := mutant{name: name, rule: h[1], patch: text, pkg: h[2], run: h[3], args: strings.Fields(h[4])}
	for _, c := range changed.FindAllStringSubmatch(string(text), -1) {
		if c[1] != c[2] {
			return mutant{}, fmt.Errorf("it must change files, and %s becomes %s", c[1], c[2])
		}
		m.files = append(m.files, c[1])
	}
	if len(m.files) == 0 {
		return mutant{}, errors.New("it changes no file")
	}
	return m, nil
}

// command is how the test that must notice is run.
func (m mutant) command() string {
	words := []string{"go test", m.pkg, "-run", m.run}
	if len(m.args) > 0 {
		words = append(words, "-args")
	}
	return strings.Join(slices.Concat(words, m.args), " ")
}

// testExists says whether the test that must notice is there.
func (m mutant) testExists(root string) error {
	name, _, _ := strings.Cut(m.run, "/")
	name = strings.Trim(name, "^$")
	files, err := filepath.Glob(filepath.Join(root, m.pkg, "*_test.go"))
	if err != nil {
		return fmt.Errorf("list tests of %s: %w", m.pkg, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read test: %w", err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("%s/%s.patch: no test %s in %s", folder, m.name, name, m.pkg)
}
