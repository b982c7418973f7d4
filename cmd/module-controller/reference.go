package main

import (
	"fmt"
	"io"
	"strings"
)

// printSettings writes the reference of settings as Markdown.
func printSettings(w io.Writer) error {
	var page strings.Builder
	page.WriteString("# Configuration\n\nEvery setting is an environment variable and a flag; the flag wins. " +
		"Durations are written as 40s or 5m, sizes as 512Mi. What cannot work keeps the program from starting, and all faults are named at once. " +
		"This page is made by `make generate`.\n\n| environment | flag | default | what it is |\n|---|---|---|---|\n")
	c := newConfig()
	c.complete()
	for _, s := range settings(c) {
		fmt.Fprintf(&page, "| `%s` | `--%s` | %s | %s |\n", s.env, s.flag(), s.value, s.help)
	}
	page.WriteString("\n## Deprecated names\n\nThese are accepted in this version, with a warning in the log, and no longer in the next one. " +
		"Setting the old name beside the new one is an error.\n\n| environment | flag | use instead |\n|---|---|---|\n")
	for _, s := range settings(c) {
		if s.was != "" {
			fmt.Fprintf(&page, "| `%s` | `--%s` | `%s`, `--%s` |\n", s.was, flagOf(s.was), s.env, s.flag())
		}
	}
	_, err := io.WriteString(w, page.String())
	return err
}
