package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// readConfig reads flags, environment and the file that one of them names: a flag goes
// before the environment, and that before the file. All faults of the configuration are
// reported together, each once, by the names that the user gave.
func readConfig(args []string, env map[string]string) (*config, error) {
	return newFlags().parse(args).config(env)
}

// refusal is a configuration that is not taken.
type refusal struct{ faults []error }

// Error implements error.
func (r refusal) Error() string { return "refusing to start:\n  " + r.lines() }

// lines has a fault a line.
func (r refusal) lines() string {
	return strings.ReplaceAll(errors.Join(r.faults...).Error(), "\n", "\n  ")
}

// faultsOf gives the faults of a configuration that is not taken.
func faultsOf(err error) (all []string) {
	r, is := errors.AsType[refusal](err)
	if !is {
		r = refusal{[]error{err}}
	}
	return strings.Split(errors.Join(r.faults...).Error(), "\n")
}

// config reads what flags and environment say.
func (g given) config(env map[string]string) (*config, error) {
	cfg := newConfig()
	cfg.apiHost = env["KUBERNETES_SERVICE_HOST"]
	all := settings(cfg)
	from := sources{flags: g.values, env: env}
	faults := g.faults
	for _, arg := range g.rest {
		faults = append(faults, unknownCommand(arg, []string{"config", "help", "version"}))
	}
	if named := from.find(ownPrefix + "CONFIG"); named != nil && named.value != "" {
		from.file = readFile(named)
		faults = append(faults, from.file.faults...)
	}
	faults = append(faults, unknownVariables(all, env)...)
	wrong := map[string]bool{}
	for _, s := range all {
		if err := cfg.read(s, from); err != nil {
			faults = append(faults, err)
			wrong[s.env] = true
		}
		if _, set := cfg.origins[s.env]; !set && from.file.isWrong(s) {
			wrong[s.env] = true
		}
	}
	if err := errors.Join(cfg.finish()...); err != nil {
		faults = append(faults, byUsersNames(err, all, cfg.origins, wrong)...)
	}
	if len(faults) > 0 {
		return nil, refusal{faults}
	}
	return cfg, nil
}

// settingName is a word in a message that may be a setting's.
var settingName = regexp.MustCompile(`[A-Z][A-Z0-9]*(_[A-Z0-9]+)*`)

// byUsersNames gives the faults of the whole, one a line, without those that only follow
// from settings whose values are wrong, and with the names that settings were set by.
func byUsersNames(err error, all []setting, origins map[string]found, wrong map[string]bool) (faults []error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = withName(line, all)
		words := settingName.FindAllString(line, -1)
		if slices.ContainsFunc(words, func(word string) bool { return wrong[word] }) {
			continue
		}
		line = settingName.ReplaceAllStringFunc(line, func(word string) string { return cmp.Or(origins[word].name, word) })
		faults = append(faults, errors.New(placeOf(words, origins)+line))
	}
	return faults
}

// withName gives a fault of a file with the setting that names the file, unless it has that
// already.
func withName(fault string, all []setting) string {
	for _, s := range all {
		file := s.value.String()
		if !s.namesFile() || file == "" || strings.Contains(fault, s.env) {
			continue
		}
		if strings.Contains(fault, " "+file+":") || strings.Contains(fault, " "+file+" ") {
			return s.env + ": " + fault
		}
	}
	return fault
}

// placeOf gives the lines of the file that have the settings of a fault, as it begins;
// empty for none.
func placeOf(words []string, origins map[string]found) string {
	var lines []int
	path := ""
	for _, word := range words {
		if o := origins[word]; o.file != "" {
			path, lines = o.file, append(lines, o.line)
		}
	}
	if path == "" {
		return ""
	}
	slices.Sort(lines)
	var texts []string
	for _, line := range slices.Compact(lines) {
		texts = append(texts, strconv.Itoa(line))
	}
	return path + ":" + strings.Join(texts, ",") + ": "
}

// sources are where settings are looked up.
type sources struct {
	flags map[string]string // values by name, without dashes
	env   map[string]string
	file  *file // nil for none
}

// found is a value and the name that it was set by, for messages. Of a file, that is the
// field, and where it is.
type found struct {
	value, name, file string
	line              int
}

// origin says where the value is from.
func (f found) origin() string {
	switch {
	case f.file != "":
		return at(f.file, f.line)
	case strings.HasPrefix(f.name, "--"):
		return "flag " + f.name
	}
	return "environment " + f.name
}

// nameOf is what a setting is called by who set it; where nobody did, as in the file.
func (c *config) nameOf(s setting) string { return cmp.Or(c.origins[s.env].name, s.field, s.env) }

// renamed is a setting that is set by its old name. Both names are environment
// variables, or both are flags.
type renamed struct{ old, new string }

// find looks a name up; it gives nil when it is not set. An empty variable is not set,
// as Kubernetes has them for keys that are missing, nor is one that Kubernetes set for a
// Service.
func (s sources) find(env string) *found {
	if v, ok := s.flags[flagOf(env)]; ok {
		return &found{value: v, name: "--" + flagOf(env)}
	}
	if v := s.env[env]; v != "" && !isServiceLink(env, s.env) {
		return &found{value: v, name: env}
	}
	if s.file == nil {
		return nil
	}
	if f, ok := s.file.values[env]; ok {
		return &f
	}
	return nil
}

// read sets a setting's field if the setting is set, by its name or by its old one.
func (c *config) read(s setting, from sources) error {
	f, old := from.find(s.env), s.findOld(from)
	switch {
	case f != nil && old != nil:
		return fmt.Errorf("%s and %s are both set: %s is the deprecated name of %s, remove it", old.name, f.name, old.name, s.nameLike(old))
	case old != nil:
		c.deprecated = append(c.deprecated, renamed{old.name, s.nameLike(old)})
		f = old
	case f == nil:
		return nil
	}
	c.origins[s.env] = *f
	return s.set(f)
}

// findOld looks the setting's old name up.
func (s setting) findOld(from sources) *found {
	if s.was == "" {
		return nil
	}
	return from.find(s.was)
}

// nameLike gives the setting's name in the form that another one was found in.
func (s setting) nameLike(f *found) string {
	if strings.HasPrefix(f.name, "--") {
		return "--" + s.flag()
	}
	return s.env
}

func (s setting) set(f *found) error {
	if err := s.value.Set(f.value); err != nil {
		return fmt.Errorf("%s=%s: %w", f.name, s.shown(f.value), err)
	}
	return nil
}

// shown is a value as it may be shown, on one line.
func (s setting) shown(v string) string {
	switch {
	case s.secret:
		return "(hidden)"
	case strings.ContainsFunc(v, func(r rune) bool { return !strconv.IsPrint(r) }):
		return strconv.Quote(v)
	}
	return v
}
