// Command docpaths sees that what the project's pages name is there: files and folders,
// the targets of links and their headings, make targets, and each `Name` that a page
// says is "in `folder/file.go`". It says what is not, by page and line.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", ".", "the repository's folder")
	flag.Parse()
	wrong, err := check(context.Background(), *root)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, w := range wrong {
		fmt.Fprintln(os.Stderr, w)
	}
	if len(wrong) > 0 {
		os.Exit(1)
	}
}
