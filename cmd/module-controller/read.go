package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// readConfig reads flags and environment; a flag wins. Its error has all errors of
// the configuration.
func readConfig(args []string, env func(string) (string, bool)) (*config, error) {
	cfg := newConfig()
	all := settings(cfg)
	flags, rest, err := readFlags(all, args)
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("arguments %q are not understood: settings are flags or environment", rest))
	}
	from := sources{flags, env}
	for _, s := range all {
		errs = append(errs, s.read(from))
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
		flags.Func(s.flag(), s.help, func(v string) error { values[s.flag()] = v; return nil })
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

// find looks a setting up; it gives nil when it is not set. An empty variable is not
// set, as Kubernetes has them for keys that are missing.
func (s sources) find(env string) *found {
	if v, ok := s.flags[flagOf(env)]; ok {
		return &found{v, "--" + flagOf(env)}
	}
	if v, ok := s.env(env); ok && v != "" {
		return &found{v, env}
	}
	return nil
}

// read sets the setting's field if the setting is set.
func (s setting) read(from sources) error {
	f := from.find(s.env)
	if f == nil {
		return nil
	}
	if err := s.value.Set(f.value); err != nil {
		shown := f.value
		if s.secret {
			shown = "(hidden)"
		}
		return fmt.Errorf("%s=%s: %w", f.name, shown, err)
	}
	return nil
}
