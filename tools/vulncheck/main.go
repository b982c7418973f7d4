// Command vulncheck has govulncheck look for known vulnerabilities that the product's
// code reaches, where their database can be reached. Where it cannot it says so, and
// checks nothing: whoever has no way there is told what was not checked.
// Usage: vulncheck -root FOLDER.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"
)

// patience is how long the database may take to answer.
const patience = 5 * time.Second

func main() {
	root := flag.String("root", ".", "the product's `folder`")
	db := flag.String("db", "https://vuln.go.dev", "`URL` of the database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := check(ctx, *db, os.Stdout, func() error { return govulncheck(ctx, *root, *db) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check scans where the database can be reached.
func check(ctx context.Context, db string, out io.Writer, scan func() error) error {
	if err := reach(ctx, db); err != nil {
		_, _ = fmt.Fprintf(out, "not checked for vulnerabilities: %v\n", err)
		return nil
	}
	return scan()
}

// reach asks the database when it was changed: https://go.dev/doc/security/vuln/database.
func reach(ctx context.Context, db string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(db, "/")+"/index/db.json", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", db, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", db, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s", db, resp.Status)
	}
	return nil
}

// govulncheck runs the tool that tools/release/go.mod pins.
func govulncheck(ctx context.Context, root, db string) error {
	cmd := exec.CommandContext(ctx, "go", "-C", "release", "tool", "govulncheck", "-db", db, "-C", root, "./...")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("look for vulnerabilities: %w", err)
	}
	return nil
}
