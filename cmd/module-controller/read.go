package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// readConfig reads flags and environment; a flag takes precedence. All errors of the
// configuration are reported together.
func readConfig(args []string, env func(string) (string, bool)) (*config, error) {
	cfg := newConfig()
	all := settings(cfg)
	flags, rest, err := readFlags(all, args)
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unexpected arguments %q: settings are flags or environment variables", rest))
	}
	from := sources{flags, env}
	for _, s := range all {
		errs = append(errs, cfg.read(s, from))
	}
	errs = append(errs, cfg.finish()...)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("refusing to start:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return cfg, nil
}

// readFlags gives the values of the flags that are set, by name, and the arguments
// that are none.
func readFlags(all []setting, args []string) (values map[string]string, rest []string, err error) {
	values = map[string]string{}
	flags := flag.NewFlagSet("module-controller", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, s := range all {
		for _, env := range s.names() {
			flags.Func(flagOf(env), s.help, func(v string) error { values[flagOf(env)] = v; return nil })
		}
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, nil, errors.Join(printSettings(os.Stdout), err)
	case err != nil:
		return nil, nil, fmt.Errorf("refusing to start: %w; --help lists the flags", err)
	}
	return values, flags.Args(), nil
}

// sources are where settings are looked up.
type sources struct {
	flags map[string]string // values by name, without dashes
	env   func(string) (string, bool)
}

// found is a value and the name that it was set by, for messages.
type found struct{ value, name string }

// renamed is a setting that is set by its old name. Both names are environment
// variables, or both are flags.
type renamed struct{ old, new string }

// find looks a name up; it gives nil when it is not set. An empty variable is not set,
// as Kubernetes has them for keys that are missing.
func (s sources) find(env string) *found {
	if v, ok := s.flags[flagOf(env)]; ok {
		return &found{v, "--" + flagOf(env)}
	}
	if v, ok := s.env(env); ok && v != "" {
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
		shown := f.value
		if s.secret {
			shown = "(hidden)"
		}
		return fmt.Errorf("%s=%s: %w", f.name, shown, err)
	}
	return nil
}
