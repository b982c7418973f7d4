package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"module-controller/provider"
	"module-controller/shard"
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

// printMetrics writes the reference of metrics as Markdown.
func printMetrics(w io.Writer) error {
	m := newMetrics()
	m.watch(func() provider.Census { return provider.Census{} }, func() shard.Census { return shard.Census{} })
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		m.registry.Describe(descs)
	}()
	var lines []string
	for d := range descs {
		parts := described.FindStringSubmatch(d.String())
		if parts != nil && strings.HasPrefix(parts[1], prefix) {
			lines = append(lines, fmt.Sprintf("| `%s` | %s |", parts[1], parts[2]))
		}
	}
	slices.Sort(lines)
	_, err := fmt.Fprintf(w, "# Metrics\n\nServed at `/metrics` of `METRICS_BIND_ADDRESS`, beside those of the Go runtime and the process. "+
		"Counters and histograms start from 0 with each session: also when a replica that lost its membership starts a new session in the same process. "+
		"No label holds a name of a base, module or pod. This page is made by `make generate`.\n\n| metric | what it is |\n|---|---|\n%s\n",
		strings.Join(slices.Compact(lines), "\n"))
	return err
}

// described takes a metric's name and help out of its description.
var described = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)"`)
