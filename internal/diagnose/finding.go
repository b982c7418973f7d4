package diagnose

import (
	"cmp"
	"slices"
	"strings"
)

// Severity is how bad a finding is. Severities are ordered.
type Severity int

// The severities.
const (
	Note    Severity = iota // it may be meant
	Warning                 // it works, and something may follow
	Fault                   // something does not work
)

func (s Severity) String() string { return [...]string{"note", "warning", "fault"}[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Object names what a finding is about.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (o Object) String() string {
	if o.Namespace == "" {
		return strings.ToLower(o.Kind) + " " + o.Name
	}
	return strings.ToLower(o.Kind) + " " + o.Namespace + "/" + o.Name
}

// Finding is one thing that is wrong.
type Finding struct {
	// Rule is the name of the rule that found it. It is stable: scripts match on it.
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Object   Object   `json:"object"`
	// Cause says what is wrong, Remedy what to do about it, in a sentence or two.
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	// Evidence quotes what it was concluded from, an object a line.
	Evidence []string `json:"evidence,omitempty"`
	// Doc is a page of this project, and a heading in it.
	Doc string `json:"doc"`
}

// found is what a rule found: the table adds the rest.
type found struct {
	below    Severity // how much less than a Fault it is
	cause    string
	remedy   string
	evidence []string
}

// mild is a finding that is no fault.
func (f found) mild(s Severity) *found {
	f.below = Fault - s
	return &f
}

// finding makes a finding of what a rule found.
func (f found) finding(rule, doc string, about Object) Finding {
	return Finding{Rule: rule, Severity: Fault - f.below, Object: about, Cause: f.cause, Remedy: f.remedy, Evidence: f.evidence, Doc: doc}
}

// rank sorts findings, the worst first. Those that are equally bad stay in the order of the
// rules, in which causes come before what follows from them.
func rank(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return all
}

// Worst is the worst severity of findings, and whether there are any.
func Worst(all []Finding) (worst Severity, some bool) {
	for _, f := range all {
		worst = max(worst, f.Severity)
	}
	return worst, len(all) > 0
}

// some names the first of many, and how many more there are.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", and " + number(len(names)-most) + " more"
}
