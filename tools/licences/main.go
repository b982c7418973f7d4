// Command licences collects the licences of all modules that are linked into a program,
// and Go's own: a folder for each module, with every file of it that is a licence or a
// notice. A module without one fails it. Usage: licences -root FOLDER -to FOLDER PACKAGE.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licence is how such files are named.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|patents)([.-].*)?$`)

func isLicence(name string) bool { return licence.MatchString(name) && filepath.Ext(name) != ".go" }

// module is what is linked.
type module struct{ path, version, dir string }

func main() {
	root := flag.String("root", ".", "the product's `folder`")
	to := flag.String("to", "licences", "the `folder` that is written")
	flag.Parse()
	if err := run(*root, flag.Arg(0), *to); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root, pkg, to string) error {
	modules, err := linked(root, pkg)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	for _, m := range modules {
		if err := m.collect(to); err != nil {
			return err
		}
	}
	fmt.Printf("licences of %d modules are in %s\n", len(modules), to)
	return nil
}

// linked lists the modules that a package is linked of, as in the image, and Go.
func linked(root, pkg string) ([]module, error) {
	list, err := output(root, "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}} {{.Dir}}{{end}}", pkg)
	if err != nil {
		return nil, err
	}
	all, err := parse(list)
	if err != nil {
		return nil, err
	}
	goroot, err := output(root, "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(goroot)), "\n")
	return append(all, module{path: "go", version: version, dir: dir}), nil
}

func output(dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// parse reads a line of each package: its module's path, version and folder. The product
// itself has no version.
func parse(list []byte) ([]module, error) {
	var all []module
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), " ", 3)
		if len(fields) < 3 {
			continue // of the standard library
		}
		m := module{fields[0], fields[1], fields[2]}
		if m.dir == "" {
			return nil, fmt.Errorf("list modules: %s is not there: go mod download", m.path)
		}
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return all, nil
}

// collect copies the licences of a module.
func (m module) collect(to string) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("collect licences of %s: %w", m.path, err)
	}
	name := m.path
	if m.version != "" {
		name += "@" + m.version
	}
	into := filepath.Join(to, filepath.FromSlash(name))
	found := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !isLicence(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(m.dir, e.Name()))
		err = errors.Join(err, os.MkdirAll(into, 0o750), os.WriteFile(filepath.Join(into, e.Name()), content, 0o644))
		if err != nil {
			return fmt.Errorf("collect licences of %s: %w", m.path, err)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("collect licences: %s %s has none in %s", m.path, m.version, m.dir)
	}
	return nil
}
