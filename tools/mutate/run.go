package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// runner builds and runs the tests that must notice.
type runner struct {
	root, tmp string
	whole     map[string]string // test programs of the product as it is, by package
}

// runAll sees that each mutant is noticed, or each of those that are named. It tells
// which were not when all have been tried.
func runAll(ctx context.Context, root string, names []string) error {
	all, err := chosen(root, names)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	r := &runner{root: root, tmp: tmp, whole: map[string]string{}}
	var errs []error
	for _, m := range all {
		began := time.Now()
		how, err := r.try(ctx, m)
		if err != nil {
			how = err.Error()
			errs = append(errs, fmt.Errorf("%s was not shown to be noticed", m.name))
		}
		fmt.Printf("%s: %s (%.0f s)\n", m.name, how, time.Since(began).Seconds())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

// chosen gives the mutants of those names, or all.
func chosen(root string, names []string) ([]mutant, error) {
	if len(names) == 0 {
		return load(root)
	}
	var some []mutant
	for _, name := range names {
		m, err := read(root, name)
		if err != nil {
			return nil, err
		}
		some = append(some, m)
	}
	return some, nil
}

// reproduced is what a simulation prints of a schedule that failed.
var reproduced = regexp.MustCompile(`-seed=(\d+)`)

// try has a mutant's test fail, and the same test of the product as it is pass, at the
// same seed where there is one. It says how the mutant was noticed.
func (r *runner) try(ctx context.Context, m mutant) (how string, err error) {
	overlay, err := m.overlay(ctx, r.root, filepath.Join(r.tmp, m.name))
	if err != nil {
		return "", err
	}
	program := filepath.Join(r.tmp, m.name, "test")
	if err := r.build(ctx, m.pkg, program, "-overlay", overlay); err != nil {
		return "", err
	}
	out, err := r.test(ctx, m, program)
	_ = os.Remove(program)
	switch {
	case err == nil:
		return "", fmt.Errorf("NOT noticed by %s: %s", m.command(), m.rule)
	case !strings.Contains(out, "--- FAIL: "):
		return "", fmt.Errorf("its test ended, but did not fail: %w\n%s", err, tail(out))
	}
	how = "noticed by " + m.pkg + " " + m.run
	var seed []string
	if found := reproduced.FindStringSubmatch(out); found != nil {
		seed = []string{found[0]}
		how += ", seed " + found[1]
	}
	return how, r.passes(ctx, m, seed)
}

// passes has the mutant's test pass on the product as it is.
func (r *runner) passes(ctx context.Context, m mutant, seed []string) error {
	program, built := r.whole[m.pkg]
	if !built {
		program = filepath.Join(r.tmp, strings.ReplaceAll(m.pkg, "/", "_")+".test")
		if err := r.build(ctx, m.pkg, program); err != nil {
			return err
		}
		r.whole[m.pkg] = program
	}
	out, err := r.test(ctx, m, program, seed...)
	if err != nil {
		return fmt.Errorf("%s fails without it too: %w\n%s", m.command(), err, tail(out))
	}
	return nil
}

func (r *runner) build(ctx context.Context, pkg, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-c", "-o", program}, append(args, pkg)...)...)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build test of %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// patience is how long one run may take. A mutant that only hangs is not noticed.
const patience = 4 * time.Minute

// test runs a test program where go test would.
func (r *runner) test(ctx context.Context, m mutant, program string, more ...string) (string, error) {
	args := append([]string{"-test.run=" + m.run, "-test.timeout=" + patience.String()}, m.args...)
	cmd := exec.CommandContext(ctx, program, append(args, more...)...)
	cmd.Dir = filepath.Join(r.root, m.pkg)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// tail is the end of what a test printed.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
