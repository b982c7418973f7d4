package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// place is a field of the configuration's file, or a group of fields.
type place struct {
	// path leads to it, such as "mqtt.tls"; empty for the whole file.
	path    string
	setting *setting          // nil for a group
	fields  map[string]*place // nil for a field
}

// placesOf gives the whole file as settings make it.
func placesOf(all []setting) *place {
	root := &place{fields: map[string]*place{}}
	for _, s := range all {
		if s.field == "" {
			continue
		}
		p := root
		names := strings.Split(s.field, ".")
		for _, name := range names[:len(names)-1] {
			if p.fields[name] == nil {
				p.fields[name] = &place{path: p.join(name), fields: map[string]*place{}}
			}
			p = p.fields[name]
		}
		p.fields[names[len(names)-1]] = &place{path: s.field, setting: &s}
	}
	return root
}

// join gives the path of a name in a group.
func (p *place) join(name string) string {
	if p.path == "" {
		return name
	}
	return p.path + "." + name
}

// meant gives the path that a name in a group of the file was meant to be; empty for
// none. It is one beside it that is spelled much the same, or a field elsewhere that is
// called so there, as a variable or as a flag.
func (p *place) meant(in *place, name string) string {
	beside := map[string]string{}
	for field := range in.fields {
		beside[strings.ToLower(field)] = field
	}
	if field := nearest(strings.ToLower(name), slices.Sorted(maps.Keys(beside)), certain); field != "" {
		return in.join(beside[field])
	}
	all := p.called(squash(name))
	return cmp.Or(onlyOne(all, in.path+"."), onlyOne(all, ""))
}

// called gives the paths of the fields that have a name, in order.
func (p *place) called(name string) (paths []string) {
	if s := p.setting; s != nil {
		last := s.field[strings.LastIndex(s.field, ".")+1:]
		if slices.Contains([]string{squash(last), squash(s.field), squash(s.env)}, name) {
			return []string{s.field}
		}
		return nil
	}
	for _, field := range slices.Sorted(maps.Keys(p.fields)) {
		paths = append(paths, p.fields[field].called(name)...)
	}
	return paths
}

// onlyOne gives the path that begins so, if just one does.
func onlyOne(paths []string, prefix string) string {
	paths = slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !strings.HasPrefix(p, prefix) })
	if len(paths) != 1 {
		return ""
	}
	return paths[0]
}

// squash leaves of a name what does not depend on where it stands: letters and digits.
func squash(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("._- ", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}
