// Package alerts reads the product's alert rules and dashboard as Prometheus does, by its own
// library. It is a module of its own: what Prometheus is built of must not choose the versions
// of what the product and the end-to-end tests are built of.
package alerts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// Root is the product's folder, two above this file's.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// File is where the rules are.
func File() string { return filepath.Join(Root(), "manifests", "chart", "files", "alerts.yaml") }

// Parser takes PromQL as Prometheus does by default.
func Parser() parser.Parser { return parser.NewParser(parser.Options{}) }

// Load reads the rules. An error names all that Prometheus refuses of them.
func Load() (*rulefmt.RuleGroups, error) {
	text, err := os.ReadFile(File())
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return Parse(text)
}

// Parse reads rules from a file's text.
func Parse(text []byte) (*rulefmt.RuleGroups, error) {
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, Parser(), nil)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("parse rules: %w", err)
	}
	return groups, nil
}

// Each gives all rules, in order.
func Each(groups *rulefmt.RuleGroups) (all []rulefmt.Rule) {
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Scaled gives the text of rules whose every duration is divided: how long an alert is
// pending, how often rules are evaluated, and the ranges of expressions. What they compare
// with stays: those are times of the product.
func Scaled(groups *rulefmt.RuleGroups, by int) ([]byte, error) {
	next := rulefmt.RuleGroups{}
	for _, g := range groups.Groups {
		g.Interval = divided(g.Interval, by)
		g.Rules = slices.Clone(g.Rules)
		for i := range g.Rules {
			r := &g.Rules[i]
			var err error
			if r.Expr, err = scaledExpr(r.Expr, time.Duration(by)); err != nil {
				return nil, err
			}
			r.For, r.KeepFiringFor = divided(r.For, by), divided(r.KeepFiringFor, by)
		}
		next.Groups = append(next.Groups, g)
	}
	return yaml.Marshal(next)
}

func divided(d model.Duration, by int) model.Duration { return d / model.Duration(by) }

func scaledExpr(text string, by time.Duration) (string, error) {
	expr, err := Parser().ParseExpr(text)
	if err != nil {
		return "", fmt.Errorf("parse %s: %w", text, err)
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			n.Range /= by
		case *parser.SubqueryExpr:
			n.Range, n.Step, n.OriginalOffset = n.Range/by, n.Step/by, n.OriginalOffset/by
		case *parser.VectorSelector:
			n.OriginalOffset /= by
		default: // it has no time
		}
		return nil
	})
	return expr.String(), nil
}

// Metrics gives the names of metrics that an expression asks for.
func Metrics(text string) (names []string, err error) {
	expr, err := Parser().ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", text, err)
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if v, is := n.(*parser.VectorSelector); is {
			names = append(names, nameOf(v))
		}
		return nil
	})
	return names, nil
}

func nameOf(v *parser.VectorSelector) string {
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return v.Name
}

// ofEveryProcess are metrics that the reference leaves out: those of the Go runtime and of
// the process.
var ofEveryProcess = []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "go_goroutines"}

var inReference = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")

// Served gives the names of the metrics that a replica serves, as the reference has them, and
// those of their parts.
func Served() (map[string]bool, error) {
	page, err := os.ReadFile(filepath.Join(Root(), "docs", "metrics.md"))
	if err != nil {
		return nil, fmt.Errorf("read the reference of metrics: %w", err)
	}
	names := map[string]bool{}
	for _, m := range inReference.FindAllStringSubmatch(string(page), -1) {
		names[m[1]] = true
		if strings.HasSuffix(m[1], "_seconds") { // it may be a histogram
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				names[m[1]+part] = true
			}
		}
	}
	for _, name := range ofEveryProcess {
		names[name] = true
	}
	return names, nil
}
