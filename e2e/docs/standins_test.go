package docs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// standIns are the commands of the pages that do not run here, each with the reason. A
// command is a program and its first argument. Targets of make are shown by make -n instead,
// so that they and their variables are there; the others do nothing.
var standIns = map[string]string{
	"make demo":            "TestTheDemo runs it",
	"make test":            "this test is a part of it",
	"make image":           "make image-check builds the image, where a tool for that is",
	"make image-check":     "it is a target of CI's own, and needs a tool that builds images",
	"make sbom":            "it needs a clone of the repository; TestSBOM in tools/licences makes one",
	"kubectl logs":         "there is no kubelet",
	"kubectl port-forward": "there is no kubelet, and it would not end",
}

// calls names the file to which stand-ins write that they were called.
const calls = "calls"

// script gives the program that stands in for another at path: it hands on what no table
// has, by known only if that is set, and notes the rest.
func script(program, path, notes string) string {
	text := "#!/bin/bash\ncase \"$1\" in\n"
	for command := range standIns {
		name, argument, _ := strings.Cut(command, " ")
		if name != program {
			continue
		}
		does := "exit 0"
		if program == "make" {
			does = path + ` -n "$@"`
		}
		text += fmt.Sprintf("%s) echo '%s' >> %s; %s;;\n", argument, command, notes, does)
	}
	if program == "make" {
		return text + "build) exec " + path + " \"$@\";;\n*) echo \"make $1: name it in standIns, or here\" >&2; exit 1;;\nesac\n"
	}
	return text + "*) exec " + path + " \"$@\";;\nesac\n"
}

// writeStandIns writes a stand-in for each program of the table into a folder, given where
// the programs are, and one for sudo: who runs the test may write where it is told to.
func writeStandIns(dir string, programs map[string]string) error {
	errs := []error{write(dir, "sudo", "#!/bin/bash\nexec \"$@\"\n")}
	for command := range standIns {
		program, _, _ := strings.Cut(command, " ")
		errs = append(errs, write(dir, program, script(program, programs[program], filepath.Join(dir, calls))))
	}
	return errors.Join(errs...)
}

func write(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755)
}

// uncalled gives the commands of the table that none called.
func uncalled(dir string) (names []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, calls))
	if err != nil {
		return nil, fmt.Errorf("read what stand-ins were called: %w", err)
	}
	for command := range standIns {
		if !strings.Contains(string(text), command+"\n") {
			names = append(names, command)
		}
	}
	return names, nil
}
