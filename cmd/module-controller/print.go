package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// printConfig writes a configuration as a file, with where each value is from: of one that a
// program runs with, what changed since as it is now. Secrets are left out.
func printConfig(w io.Writer, c *config) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	add(root, "apiVersion", scalar("string", apiVersion))
	add(root, "kind", scalar("string", fileKind))
	groups := map[string]*yaml.Node{"": root}
	now := settings(c.now())
	for i, s := range settings(c) {
		if s.field == "" {
			continue
		}
		of := c
		if s.follows() {
			s, of = now[i], c.now()
		}
		path, name := split(s.field)
		add(groupOf(groups, path), name, of.shownOf(s))
	}
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := out.Encode(root); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return out.Close()
}

// shownOf is the value of a setting, with its origin.
func (c *config) shownOf(s setting) *yaml.Node {
	origin := "default"
	f, set := c.origins[s.env]
	if set {
		origin = f.origin()
	}
	text := s.value.String()
	if s.secret && text != "" {
		text, origin = "", "not shown; "+origin
	}
	n := nodeOf(s.value.Type(), text)
	n.LineComment = origin
	return n
}

// nodeOf is a value as a file has it.
func nodeOf(kind, text string) *yaml.Node {
	n := &yaml.Node{Style: yaml.FlowStyle}
	switch kind {
	case kindList:
		n.Kind = yaml.SequenceNode
	case kindPairs:
		n.Kind = yaml.MappingNode
	default:
		return scalar(kind, text)
	}
	for item := range strings.SplitSeq(text, ",") {
		key, v, has := strings.Cut(item, "=")
		switch {
		case item == "":
		case kind == kindList:
			n.Content = append(n.Content, scalar("string", item))
		case has:
			add(n, key, scalar("string", v))
		}
	}
	return n
}

func scalar(kind, text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	if text == "" || !slices.Contains([]string{kindBool, kindInt, kindNumber, kindSize}, kind) {
		n.Tag = "!!str"
	}
	return n
}

func add(group *yaml.Node, name string, v *yaml.Node) {
	group.Content = append(group.Content, scalar("string", name), v)
}

// groupOf gives the group of a path, which it makes where there is none.
func groupOf(groups map[string]*yaml.Node, path string) *yaml.Node {
	if groups[path] == nil {
		n := &yaml.Node{Kind: yaml.MappingNode}
		parent, name := split(path)
		add(groupOf(groups, parent), name, n)
		groups[path] = n
	}
	return groups[path]
}

// split parts a field's path from its name.
func split(field string) (path, name string) {
	i := strings.LastIndex(field, ".")
	if i < 0 {
		return "", field
	}
	return field[:i], field[i+1:]
}
