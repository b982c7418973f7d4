// Command conditions measures what a reader of a package must keep in mind at once,
// prints a table, and fails where a package is over its limit (limits.go): and/or
// operators for each branch, fields of a struct, methods of a type, lines of tests for
// each line of code. It fails for tests in bubbles, too, that the race detector may not
// survive (bubbles.go). It parses files and needs no build.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", ".", "the folder of the module that is measured")
	flag.Parse()
	report, failures := check(*root, limits, pairs)
	fmt.Print(report)
	failures = append(failures, unserialized(*root)...)
	for _, f := range failures {
		fmt.Fprintln(os.Stderr, f)
	}
	if len(failures) > 0 {
		os.Exit(1)
	}
}
