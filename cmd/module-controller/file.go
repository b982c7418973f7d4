package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What a file says that it is.
const (
	apiVersion = "config.module-controller.koupleless.io/v1alpha1"
	fileKind   = "ModuleControllerConfiguration"
)

// file is what a configuration's file says.
type file struct {
	path   string
	places *place
	// values are those that are right, and wrong has the settings whose are not; by
	// variable.
	values map[string]found
	wrong  map[string]bool
	faults []error // in the order of the lines
}

// readFile reads the file that a setting names. It never fails: what is wrong is among the
// faults.
func readFile(named *found) *file {
	f := &file{path: named.value, values: map[string]found{}, wrong: map[string]bool{}}
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.faults = append(f.faults, fmt.Errorf("%s %s is of no use: %w", named.name, f.path, err))
		return f
	}
	f.parse(text)
	return f
}

// isWrong says whether the file has a value of a setting that is none; f may be nil.
func (f *file) isWrong(s setting) bool { return f != nil && f.wrong[s.env] }

// at gives where a line of the file is, for messages.
func at(path string, line int) string { return path + ":" + strconv.Itoa(line) }

func (f *file) add(line int, format string, args ...any) {
	f.faults = append(f.faults, fmt.Errorf("%s: "+format, append([]any{at(f.path, line)}, args...)...))
}

// parse reads the text of the file. Each value is tried on a configuration of its own:
// what is wrong is told also where a flag or a variable goes before it.
func (f *file) parse(text []byte) {
	var head struct{ version, kind string }
	f.places = placesOf(append([]setting{
		{field: "apiVersion", value: only(&head.version, apiVersion)}, {field: "kind", value: only(&head.kind, fileKind)},
	}, settings(newConfig())...))
	docs := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := docs.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		f.addSyntax(err)
		return
	}
	for _, n := range doc.Content { // one, or none where the file is empty
		f.group(f.places, n)
	}
	for _, want := range []struct{ field, read, value string }{{"apiVersion", head.version, apiVersion}, {"kind", head.kind, fileKind}} {
		if want.read == "" && !f.wrong[want.field] {
			f.add(1, "%s is missing: write %s: %s", want.field, want.field, want.value)
		}
	}
	var more yaml.Node
	switch err := docs.Decode(&more); {
	case err == nil:
		f.add(more.Line, "a second document begins: a file has one configuration")
	case !errors.Is(err, io.EOF):
		f.addSyntax(err)
	}
}

// syntaxError is what the library says of a text that is no YAML.
var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func (f *file) addSyntax(err error) {
	line, what := 1, err.Error()
	if parts := syntaxError.FindStringSubmatch(what); parts != nil {
		what = parts[2]
		if n, err := strconv.Atoi(parts[1]); err == nil {
			line = n
		}
	}
	f.add(line, "this is no YAML: %s", what)
}

// group reads the fields of a group.
func (f *file) group(p *place, n *yaml.Node) {
	n = resolved(n)
	switch {
	case n.ShortTag() == "!!null":
		return
	case n.Kind != yaml.MappingNode:
		f.add(n.Line, "%s must have fields, each on a line of its own", cmp.Or(p.path, "the file"))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if line, twice := lines[key.Value]; twice {
			f.add(key.Line, "%s is set twice, on line %d too", p.join(key.Value), line)
			continue
		}
		lines[key.Value] = key.Line
		f.entry(p, key, v)
	}
}

func (f *file) entry(p *place, key, v *yaml.Node) {
	sub := p.fields[key.Value]
	switch {
	case sub == nil:
		f.addUnknown(p, key)
	case sub.setting == nil:
		f.group(sub, v)
	default:
		f.value(*sub.setting, key.Line, resolved(v))
	}
}

func (f *file) addUnknown(p *place, key *yaml.Node) {
	if meant := f.places.meant(p, key.Value); meant != "" {
		f.add(key.Line, "%s is no field: did you mean %s?", p.join(key.Value), meant)
		return
	}
	f.add(key.Line, "%s is no field; module-controller config print shows all fields", p.join(key.Value))
}

// value reads the value of a setting. What is empty is not set.
func (f *file) value(s setting, line int, n *yaml.Node) {
	text, err := textOf(n, s.value.Type())
	switch {
	case err != nil:
		f.add(line, "%s: %w", s.field, err)
	case text == "":
		return
	default:
		if err = cmp.Or(s.value.Set(text), formOf(n, s.value.Type())); err != nil {
			f.add(line, "%s=%s: %w", s.field, s.shown(text), err)
		}
	}
	name := cmp.Or(s.env, s.field)
	if err != nil {
		f.wrong[name] = true
		return
	}
	f.values[name] = found{value: text, name: s.field, file: f.path, line: line}
}

// resolved gives what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// textOf gives a value as flags and variables have it.
func textOf(n *yaml.Node, kind string) (string, error) {
	var want yaml.Kind
	var must string
	switch kind {
	case kindList:
		want, must = yaml.SequenceNode, "must be a list, such as [a, b]"
	case kindPairs:
		want, must = yaml.MappingNode, "must be a map, such as {key: value}"
	default:
		want, must = yaml.ScalarNode, "must be one value, neither a list nor a map"
	}
	switch {
	case n.ShortTag() == "!!null":
		return "", nil
	case n.Kind != want:
		return "", errors.New(must)
	case want == yaml.ScalarNode:
		return n.Value, nil
	}
	return joined(n)
}

// joined gives the items of a list separated by commas, or the pairs of a map.
func joined(n *yaml.Node) (string, error) {
	var items []string
	for _, item := range n.Content {
		item = resolved(item)
		if item.ShortTag() != "!!str" || strings.ContainsAny(item.Value, ",\n") {
			return "", errors.New("must have strings without commas: write numbers in quotes, and each item for itself")
		}
		items = append(items, item.Value)
	}
	if n.Kind == yaml.SequenceNode {
		return strings.Join(items, ","), nil
	}
	pairs := make([]string, 0, len(items)/2)
	for i := 0; i+1 < len(items); i += 2 {
		pairs = append(pairs, items[i]+"="+items[i+1])
	}
	return strings.Join(pairs, ","), nil
}

// formOf says what is wrong with how a value is written; nil for nothing. It is strict, as
// Kubernetes is: "8080" is no number, and 1234 no password.
func formOf(n *yaml.Node, kind string) error {
	switch tag := n.ShortTag(); kind {
	case kindList, kindPairs, kindSize:
		return nil
	case kindBool:
		return unless(tag == "!!bool", "must be true or false without quotes")
	case kindInt:
		return unless(tag == "!!int", "must be a number without quotes")
	case kindNumber:
		return unless(tag == "!!int" || tag == "!!float", "must be a number without quotes")
	default:
		return unless(tag == "!!str" || n.Value == nowhere, "must be a string: write it in quotes")
	}
}

func unless(fine bool, otherwise string) error {
	if fine {
		return nil
	}
	return errors.New(otherwise)
}
