package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// check measures every limited package and gives the table of what it found, and every
// limit that does not hold.
func check(root string, limits []limit, pairs []pair) (report string, failures []string) {
	rows := []string{"package\tand/or a branch\tlimit\twidest struct\tmost methods\ttests:code"}
	found := map[string]measures{}
	for _, l := range limits {
		m, err := measure(root, l.pkg)
		if err != nil {
			failures = append(failures, err.Error())
			continue
		}
		found[l.pkg] = m
		rows = append(rows, row(l, m))
		failures = append(failures, l.failures(m)...)
	}
	for _, p := range pairs {
		if f := p.failure(found); f != "" {
			failures = append(failures, f)
		}
	}
	return aligned(rows), failures
}

// aligned puts the cells of a table, separated by tabs, below each other.
func aligned(rows []string) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = table.Write([]byte(strings.Join(rows, "\n") + "\n")) // a strings.Builder takes all
	_ = table.Flush()
	return b.String()
}

// row is a package's line of the table.
func row(l limit, m measures) string {
	most := ranked(m.methods)
	wide := widest(m.structs)
	return fmt.Sprintf("%s\t%d/%d = %.2f\t%.2f\t%s\t%s\t%d:%d = %.2f", l.pkg, m.operators, m.branches, m.perBranch(), l.operators,
		first(wide, func(s structure) string { return fmt.Sprintf("%s %d", cmp.Or(s.name, "(unnamed)"), s.fields) }),
		first(most, func(typ string) string { return fmt.Sprintf("%s %d", typ, m.methods[typ]) }),
		m.tests, m.code, ratio(m.tests, m.code))
}

// first says the first of what is there.
func first[T any](of []T, say func(T) string) string {
	if len(of) == 0 {
		return "-"
	}
	return say(of[0])
}

// failures says which limits of a package do not hold.
func (l limit) failures(m measures) (failures []string) {
	if m.perBranch() > l.operators {
		failures = append(failures, fmt.Sprintf("%s: %.2f and/or operators for each branch (%d, %d branches), at most %.2f; most are in %s",
			l.pkg, m.perBranch(), m.operators, m.branches, l.operators, strings.Join(mostOperators(m.byFunc), ", ")))
	}
	for _, s := range widest(m.structs) {
		if l.fields > 0 && s.fields > l.fields {
			failures = append(failures, fmt.Sprintf("%s:%d: struct %s has %d fields, at most %d", s.where.Filename, s.where.Line, cmp.Or(s.name, "(unnamed)"), s.fields, l.fields))
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(l.methods)) {
		if n, most := m.methods[typ], l.methods[typ]; n > most {
			failures = append(failures, fmt.Sprintf("%s: type %s has %d methods, at most %d", l.pkg, typ, n, most))
		}
	}
	return failures
}

// failure says that a pair has too few tests, or "".
func (p pair) failure(found map[string]measures) string {
	tests, code := 0, 0
	for _, pkg := range p.pkgs {
		tests += found[pkg].tests
		code += found[pkg].code
	}
	if ratio(tests, code) >= p.tests {
		return ""
	}
	return fmt.Sprintf("%s: %d lines of tests for %d lines of code (%.2f), at least %.2f", strings.Join(p.pkgs, " and "), tests, code, ratio(tests, code), p.tests)
}

func widest(structs []structure) []structure {
	return slices.SortedStableFunc(slices.Values(structs), func(a, b structure) int { return cmp.Compare(b.fields, a.fields) })
}

// ranked gives the keys, the highest count first.
func ranked(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// mostOperators names the functions to begin with.
func mostOperators(byFunc map[string]int) (names []string) {
	all := ranked(byFunc)
	for _, name := range all[:min(5, len(all))] {
		names = append(names, fmt.Sprintf("%s (%d)", name, byFunc[name]))
	}
	return names
}
