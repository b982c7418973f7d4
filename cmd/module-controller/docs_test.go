package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"module-controller/internal/docs"
)

// Each command line of this program that a page has is one, and its flags are settings.
func TestCommandsOfPages(t *testing.T) {
	found := 0
	for _, page := range docs.Pages {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range docs.Commands(string(text)) {
			if c.Words[0] != "module-controller" {
				continue
			}
			found++
			if fault := faultOf(c.Words[1:]); fault != "" {
				t.Errorf("%s:%d: %s: %s", page, c.Line, c, fault)
			}
		}
	}
	if found == 0 {
		t.Error("no command was found")
	}
	for _, wrong := range []string{"check x", "config test x", "config check", "config check --nothing=1 x"} {
		if faultOf(strings.Fields(wrong)) == "" {
			t.Errorf("%s is taken for a command", wrong)
		}
	}
}

// faultOf is what is wrong with a command line, which is not run; empty for nothing.
func faultOf(args []string) string {
	p := &program{out: io.Discard}
	called, rest, err := p.root().Find(args)
	switch {
	case err != nil:
		return err.Error()
	case !called.HasParent() || called.HasSubCommands():
		return "it is no command"
	}
	g := newFlags().parse(rest)
	switch {
	case len(g.faults) > 0:
		return g.faults[0].Error()
	case called.Name() == "check" && len(g.rest) != 1:
		return "it needs a file"
	}
	return ""
}
