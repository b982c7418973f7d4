package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"module-controller/internal/docs"
)

// Each command of this plugin that a page has is one, with flags and as many arguments as
// it takes.
func TestCommandsOfPages(t *testing.T) {
	found := 0
	for _, page := range append(slices.Clone(docs.Pages), "README.md", "docs/kubectl-modules.md", "docs/security.md") {
		for _, c := range commandsOf(t, page) {
			found++
			if err := understands(c.Words[2:]); err != nil {
				t.Errorf("%s:%d: %s: %v", page, c.Line, c, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands were found", found)
	}
	for _, wrong := range [][]string{{"who", "POD"}, {"check", "--before"}, {"status", "POD"}, {"why"}, {}} {
		if understands(wrong) == nil {
			t.Errorf("%v is taken for a command", wrong)
		}
	}
}

// commandsOf gives the commands of this plugin that a page has.
func commandsOf(t *testing.T, page string) (all []docs.Command) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range docs.Commands(string(text)) {
		if len(c.Words) > 1 && c.Words[0] == "kubectl" && c.Words[1] == "modules" {
			all = append(all, c)
		}
	}
	return all
}

// understands gives what is wrong with a command line, which is not run. That of completion
// is cobra's own.
func understands(args []string) error {
	if len(args) > 0 && args[0] == "__complete" {
		return nil
	}
	called, rest, err := newRoot(genericiooptions.NewTestIOStreamsDiscard()).Find(args)
	switch {
	case err != nil:
		return err
	case called.Args == nil:
		return os.ErrNotExist // it only has commands
	}
	if err := called.ParseFlags(rest); err != nil {
		return err
	}
	return called.Args(called, called.Flags().Args())
}
