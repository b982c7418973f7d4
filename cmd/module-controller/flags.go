package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
)

// flags are the flags of all settings, in the sections of the help.
type flags struct {
	all      *pflag.FlagSet
	sections cliflag.NamedFlagSets
	known    []string // flags of all settings, without dashes; old names too
	values   map[string]string
	help     bool
}

// flagValue keeps what a flag was given: settings are read once it is known from where.
type flagValue struct {
	value
	name   string
	values map[string]string
}

// Set implements pflag.Value.
func (f flagValue) Set(text string) error {
	f.values[f.name] = text
	return nil
}

func newFlags() *flags {
	c := newConfig()
	c.complete()
	f := &flags{all: pflag.NewFlagSet("", pflag.ContinueOnError), values: map[string]string{}}
	for _, g := range groups(c) {
		section := pflag.NewFlagSet("", pflag.ContinueOnError)
		if g.title != noEffectTitle { // they are accepted, but nobody is to begin with them
			section = f.sections.FlagSet(g.title)
		}
		for _, s := range g.all {
			for _, env := range s.names() {
				name := flagOf(env)
				f.known = append(f.known, name)
				flag := &pflag.Flag{Name: name, Usage: s.help, Value: flagValue{s.value, name, f.values}, DefValue: s.value.String()}
				flag.Hidden = env == s.was
				section.AddFlag(flag)
			}
		}
		f.all.AddFlagSet(section)
	}
	f.all.BoolVarP(&f.help, "help", "h", false, "")
	return f
}

// given is what a command line says.
type given struct {
	values map[string]string // of flags, by name without dashes
	help   bool
	rest   []string // arguments that are no flags
	faults []error  // of the flags
}

// parse reads arguments, one flag after the other, as pflag stops at the first fault.
func (f *flags) parse(args []string) given {
	g := given{values: f.values}
	for len(args) > 0 {
		if !strings.HasPrefix(args[0], "-") {
			g.rest, args = append(g.rest, args[0]), args[1:]
			continue
		}
		n, err := f.parseOne(args)
		if err != nil {
			g.faults = append(g.faults, err)
		}
		args = args[n:]
	}
	g.help = f.help
	return g
}

// parseOne reads the flag that arguments begin with, and says how many it took. A value
// does not begin with two dashes, unless it follows "=".
func (f *flags) parseOne(args []string) (n int, err error) {
	arg := args[0]
	if !strings.HasPrefix(arg, "--") && len(arg) > len("-h") {
		arg = "-" + arg // one dash will do
	}
	follows := len(args) > 1 && !strings.HasPrefix(args[1], "--")
	var needs *pflag.ValueRequiredError
	var unknown *pflag.NotExistError
	err = f.all.Parse([]string{arg})
	switch {
	case errors.As(err, &needs) && follows:
		return 2, f.all.Parse([]string{arg, args[1]})
	case errors.As(err, &needs):
		return 1, fmt.Errorf("--%s needs a value", needs.GetSpecifiedName())
	case errors.As(err, &unknown):
		n = 1
		if follows && !strings.Contains(arg, "=") {
			n = 2 // with its value
		}
		return n, f.unknown(unknown.GetSpecifiedName())
	case arg == "-", arg == "--":
		err = fmt.Errorf("%s is no flag; --help lists the flags", arg)
	}
	return 1, err
}

// unknown is the fault of a flag that there is not.
func (f *flags) unknown(name string) error {
	spelled := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
	if meant := nearest(spelled, f.known, certain); meant != "" {
		return fmt.Errorf("--%s is no flag: did you mean --%s?", name, meant)
	}
	return fmt.Errorf("--%s is no flag; --help lists the flags", name)
}
