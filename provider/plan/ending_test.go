package plan

import (
	"fmt"
	"strings"
	"testing"

	"module-controller/tunnel"
)

// How every command ends with every outcome, beside everything that a list may tell.
func TestEndings(t *testing.T) {
	const want = `
              absent      unlisted    broken      starting    deactivated serving
install
  done        astray      unclear     astray      unclear     succeeded   succeeded
  repeated    astray      unclear     astray      unclear     astray      succeeded
  notfound    failed      unclear     failed      unclear     failed      succeeded
  failed      failed      unclear     failed      unclear     failed      succeeded
  unsupported failed      unclear     failed      unclear     failed      succeeded
  (silence)   failed      unclear     failed      unclear     failed      succeeded
replace
  done        astray      unclear     astray      unclear     succeeded   succeeded
  repeated    astray      unclear     unreplaced  unclear     unreplaced  unreplaced
  notfound    failed      unclear     failed      unclear     failed      failed
  failed      failed      unclear     failed      unclear     failed      failed
  unsupported failed      unclear     failed      unclear     failed      failed
  (silence)   failed      unclear     failed      unclear     failed      failed
uninstall
  done        failed      unclear     failed      unclear     failed      failed
  repeated    failed      unclear     failed      unclear     failed      failed
  notfound    failed      unclear     failed      unclear     failed      failed
  failed      failed      unclear     failed      unclear     failed      failed
  unsupported failed      unclear     failed      unclear     failed      failed
  (silence)   failed      unclear     failed      unclear     failed      failed
switch
  done        failed      unclear     failed      unclear     failed      failed
  repeated    failed      unclear     failed      unclear     failed      failed
  notfound    failed      unclear     failed      unclear     failed      failed
  failed      failed      unclear     failed      unclear     failed      failed
  unsupported failed      unclear     failed      unclear     failed      failed
  (silence)   failed      unclear     failed      unclear     failed      failed
`
	var got strings.Builder
	line := func(first string, rest ...any) {
		text := fmt.Sprintf("%-13s", first)
		for _, r := range rest {
			text += fmt.Sprintf(" %-11s", r)
		}
		fmt.Fprintln(&got, strings.TrimRight(text, " "))
	}
	fmt.Fprintln(&got)
	line("", absent, unlisted, broken, starting, deactivated, serving)
	for _, kind := range []struct {
		name    string
		command tunnel.Command
	}{{"install", install("a:1")}, {"replace", install("a:1", replacing)}, {"uninstall", uninstall("a:1")}, {"switch", switchTo("a:1")}} {
		line(kind.name)
		for _, o := range []tunnel.Outcome{tunnel.Done, tunnel.Repeated, tunnel.NotFound, tunnel.Failed, tunnel.Unsupported, silence} {
			name := string(o)
			if o == silence {
				name = "(silence)"
			}
			row := endings(kind.command, o)
			line("  "+name, row[absent], row[unlisted], row[broken], row[starting], row[deactivated], row[serving])
		}
	}
	wantLines, gotLines := strings.Split(want, "\n"), strings.Split(got.String(), "\n")
	if len(wantLines) != len(gotLines) {
		t.Fatalf("%d lines, want %d:\n%s", len(gotLines), len(wantLines), got.String())
	}
	for i := range wantLines {
		if strings.Join(strings.Fields(wantLines[i]), " ") != strings.Join(strings.Fields(gotLines[i]), " ") {
			t.Errorf("is   %s\nwant %s", gotLines[i], wantLines[i])
		}
	}
}

// A word that no table knows claims nothing.
func TestEndingsOfAnUnknownOutcome(t *testing.T) {
	if got := endings(install("a:1"), "maybe")[absent]; got != failed {
		t.Errorf("it is %s, want failed", got)
	}
}
