// Command mutate takes one guard out of the product, by a patch of mutants/, without a
// trace in the product: the patched copies go into an overlay for go build and go test.
//
//	mutate -root .. -dir DIR NAME   writes DIR/overlay.json and prints its path
//	mutate -root .. -list           prints each mutant with the test that must notice
//	mutate -root .. -check          sees that each patch applies, and its test exists
//	mutate -root .. -run [NAME...]  sees that each is noticed, and only it
//
// A patch begins with two lines: "# " and the rule that it breaks, and "# noticed by: "
// and what go test is called with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the folder of the module that is mutated")
	dir := flag.String("dir", "", "where the copies and the overlay go")
	list := flag.Bool("list", false, "print the mutants")
	check := flag.Bool("check", false, "see that the patches apply")
	run := flag.Bool("run", false, "see that the mutants are noticed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	top, err := filepath.Abs(*root)
	switch {
	case err != nil:
	case *list:
		err = printAll(top)
	case *check:
		err = checkAll(ctx, top)
	case *run:
		err = runAll(ctx, top, flag.Args())
	case *dir != "" && flag.NArg() == 1:
		err = printOverlay(ctx, top, *dir, flag.Arg(0))
	default:
		err = errors.New("name what to do: -list, -check, -run, or -dir DIR NAME")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func printAll(root string) error {
	all, err := load(root)
	if err != nil {
		return err
	}
	for _, m := range all {
		fmt.Printf("%s\t%s\n", m.name, m.command())
	}
	return nil
}

func checkAll(ctx context.Context, root string) error {
	all, err := load(root)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	var errs []error
	for _, m := range all {
		_, applied := m.overlay(ctx, root, filepath.Join(tmp, m.name))
		errs = append(errs, applied, m.testExists(root))
	}
	return errors.Join(errs...)
}

func printOverlay(ctx context.Context, root, dir, name string) error {
	m, err := read(root, name)
	if err != nil {
		return err
	}
	path, err := m.overlay(ctx, root, dir)
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}
