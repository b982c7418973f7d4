// Package transcript plays stories that stand in testdata/*.txt: one event or question a
// line, and after it, indented, what follows from it. It is for tests of pure rooms:
// time is part of a line.
package transcript

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what happens into the transcripts")

// Run plays each transcript as a subtest named after its file. Begin makes a new world and
// gives what plays one line of it: the line's words in, what follows from it out, one
// entry a line. Empty lines, and lines that begin with #, are left out. With the flag
// -update, what happened is written into the transcripts first.
func Run(t *testing.T, begin func(t *testing.T) func(words []string) ([]string, error)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { testFile(t, file, begin(t)) })
	}
}

func testFile(t *testing.T, file string, do func(words []string) ([]string, error)) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := play(t, string(text), do)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("it went otherwise (-transcript +happened):\n%s", diff)
	}
}

func play(t *testing.T, text string, do func(words []string) ([]string, error)) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // the transcript's; what happens is written instead
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		results, err := do(strings.Fields(line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, result := range results {
			out.WriteString("  " + result + "\n")
		}
	}
	return out.String()
}

// Options splits the words of a line into arguments and options, which have a =.
func Options(words []string) (args []string, opts map[string]string) {
	opts = map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			opts[k] = v
		} else {
			args = append(args, w)
		}
	}
	return args, opts
}
