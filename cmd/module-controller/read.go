package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// readConfig reads flags and environment; a flag takes precedence. All faults of the
// configuration are reported together, each once, by the names that the user gave.
func readConfig(args []string, env map[string]string) (*config, error) {
	cfg := newConfig()
	cfg.apiHost = env["KUBERNETES_SERVICE_HOST"]
	all := settings(cfg)
	flags, faults := readFlags(namesOf(all), args)
	if flags == nil {
		return nil, errors.Join(printSettings(os.Stdout), flag.ErrHelp)
	}
	from := sources{flags, env}
	faults = append(faults, unknownVariables(all, env)...)
	wrong := map[string]bool{}
	for _, s := range all {
		if err := cfg.read(s, from); err != nil {
			faults = append(faults, err)
			wrong[s.env] = true
		}
	}
	if err := errors.Join(cfg.finish()...); err != nil {
		faults = append(faults, byUsersNames(err, from, all, wrong)...)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("refusing to start:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return cfg, nil
}

// settingName is a word in a message that may be a setting's.
var settingName = regexp.MustCompile(`[A-Z][A-Z0-9]*(_[A-Z0-9]+)*`)

// byUsersNames gives the faults of the whole, one a line, without those that only follow
// from settings whose values are wrong, and with the names that settings were set by.
func byUsersNames(err error, from sources, all []setting, wrong map[string]bool) (faults []error) {
	given := map[string]string{}
	for _, s := range all {
		if f := cmp.Or(from.find(s.env), s.findOld(from)); f != nil {
			given[s.env] = f.name
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if slices.ContainsFunc(settingName.FindAllString(line, -1), func(word string) bool { return wrong[word] }) {
			continue
		}
		line = settingName.ReplaceAllStringFunc(line, func(word string) string { return cmp.Or(given[word], word) })
		faults = append(faults, errors.New(line))
	}
	return faults
}

// readFlags gives the values of the flags that are set, by name without dashes, and the
// faults of all arguments; no values if help is asked for.
func readFlags(known, args []string) (values map[string]string, faults []error) {
	values = map[string]string{}
	flags := make([]string, 0, len(known))
	for _, env := range known {
		flags = append(flags, flagOf(env))
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, has := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if !has && strings.HasPrefix(arg, "-") && len(args) > 0 && !strings.HasPrefix(args[0], "--") {
			value, has, args = args[0], true, args[1:]
		}
		switch {
		case !strings.HasPrefix(arg, "-"):
			faults = append(faults, fmt.Errorf("unexpected argument %q: settings are flags or environment variables", arg))
		case name == "h", name == "help":
			return nil, nil
		case !slices.Contains(flags, name):
			faults = append(faults, unknownFlag(name, known))
		case !has:
			faults = append(faults, fmt.Errorf("--%s needs a value", name))
		default:
			values[name] = value
		}
	}
	return values, faults
}

func unknownFlag(name string, known []string) error {
	if meant := nearest(strings.ReplaceAll(strings.ToUpper(name), "-", "_"), known); meant != "" {
		return fmt.Errorf("--%s is no flag: did you mean --%s?", name, flagOf(meant))
	}
	return fmt.Errorf("--%s is no flag; --help lists the flags", name)
}

// sources are where settings are looked up.
type sources struct {
	flags map[string]string // values by name, without dashes
	env   map[string]string
}

// found is a value and the name that it was set by, for messages.
type found struct{ value, name string }

// renamed is a setting that is set by its old name. Both names are environment
// variables, or both are flags.
type renamed struct{ old, new string }

// find looks a name up; it gives nil when it is not set. An empty variable is not set,
// as Kubernetes has them for keys that are missing, nor is one that Kubernetes set for a
// Service.
func (s sources) find(env string) *found {
	if v, ok := s.flags[flagOf(env)]; ok {
		return &found{v, "--" + flagOf(env)}
	}
	if v := s.env[env]; v != "" && !isServiceLink(env, s.env) {
		return &found{v, env}
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
		return s.set(old)
	case f != nil:
		return s.set(f)
	}
	return nil
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
		shown := printable(f.value)
		if s.secret {
			shown = "(hidden)"
		}
		return fmt.Errorf("%s=%s: %w", f.name, shown, err)
	}
	return nil
}

// printable gives a value as it can be shown on one line.
func printable(v string) string {
	if strings.ContainsFunc(v, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(v)
	}
	return v
}
