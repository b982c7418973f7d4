package main

// limit is what one package may have. Zero fields are not limited.
type limit struct {
	pkg string // its folder, below the module's
	// operators is how many && and || there may be for each branch. A branch that
	// needs many is a state without a name.
	operators float64
	// fields is how many a struct may have. A wider one has no invariant that can be
	// told in a sentence.
	fields int
	// methods is how many a type may have, by its name.
	methods map[string]int
}

var limits = []limit{
	{pkg: "provider", operators: 0.25, fields: 12, methods: map[string]int{"Provider": 25}},
	{pkg: "provider/lifecycle", operators: 0.25, fields: 12},
	{pkg: "provider/pods", operators: 0.25},
	{pkg: "provider/probes", operators: 0.25, fields: 12},
	{pkg: "provider/plan", operators: 0.35},
	{pkg: "shard", operators: 0.35},
}

// pair is packages that are tested together.
type pair struct {
	pkgs []string
	// tests is how many lines of tests there must be for each line of code.
	tests float64
}

var pairs = []pair{
	{pkgs: []string{"provider", "provider/lifecycle"}, tests: 1},
}
