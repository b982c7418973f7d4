package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	cliflag "k8s.io/component-base/cli/flag"
)

// program is what the command line runs.
type program struct {
	env map[string]string
	out io.Writer
	// run runs the controller until the context ends. The function reads its configuration
	// again.
	run func(context.Context, *config, func() (*config, error)) error
}

const about = `module-controller makes each Koupleless base that it hears of a Kubernetes Node
and each module a Pod on it. Without a command it runs until it is told to end.

A setting is a flag, a variable of the environment and a field of the file that
--config names. The flag goes before the variable, and that before the file.
The variable of --mqtt-broker is MQTT_BROKER, and so on; that of --config is
MODULE_CONTROLLER_CONFIG. The fields are in docs/configuration.md, and
"module-controller config print" shows them. Each flag needs a value.`

// root is the command line. It parses the flags of settings itself: all their faults are
// told at once, and cobra tells the first.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "module-controller [flags]", Long: about, Args: cobra.ArbitraryArgs,
		SilenceUsage: true, SilenceErrors: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "--version" {
				p.print("%s\n", version)
				return nil
			}
			return p.settings(cmd, args, func(g given) error {
				read := func() (*config, error) { return g.config(p.env) }
				cfg, err := read()
				if err != nil {
					return err
				}
				return p.run(cmd.Context(), cfg, read)
			})
		},
	}
	root.SetOut(p.out)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { p.help(cmd) })
	root.AddCommand(p.configCommand(), p.referenceCommand(), &cobra.Command{
		Use: "version", Short: "show the version", Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		Run: func(*cobra.Command, []string) {
			p.print("module-controller %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	})
	return root
}

// unknownCommand is the fault of an argument where a command may stand.
func unknownCommand(arg string, commands []string) error {
	if meant := nearest(arg, commands, certain); meant != "" {
		return fmt.Errorf("unexpected argument %q: did you mean %s?", arg, meant)
	}
	return fmt.Errorf("unexpected argument %q: neither a command nor a flag; --help lists both", arg)
}

// configCommand is about configurations, without running one.
func (p *program) configCommand() *cobra.Command {
	config := &cobra.Command{Use: "config", Short: "check or show a configuration", DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(args[0], []string{"check", "print"})
			}
			return cmd.Help()
		}}
	config.AddCommand(&cobra.Command{
		Use: "check FILE [flags]", Short: "say all that is wrong with a configuration's file", DisableFlagParsing: true,
		Long: "check reads FILE as a start with --config=FILE would here: with these flags, this\nenvironment, and the files that it names. It exits with 1 where that would fail.",
		RunE: func(cmd *cobra.Command, args []string) error { return p.settings(cmd, args, p.check) },
	}, &cobra.Command{
		Use: "print [flags]", Short: "show the configuration, and where each value is from", DisableFlagParsing: true,
		Long: "print shows what a start with these flags and this environment would run with, as\na file. A comment says where each value is from. Secrets are not shown.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.settings(cmd, args, func(g given) error {
				cfg, err := g.config(p.env)
				if err != nil {
					return err
				}
				return printConfig(p.out, cfg)
			})
		},
	})
	return config
}

// referenceCommand writes the generated pages of docs.
func (p *program) referenceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reference {configuration|metrics}", Hidden: true, Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"configuration", "metrics"},
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "metrics" {
				return printMetrics(p.out)
			}
			return printSettings(p.out)
		},
	}
}

// settings does something with the settings that arguments have, unless they ask for help.
func (p *program) settings(cmd *cobra.Command, args []string, do func(given) error) error {
	g := newFlags().parse(args)
	if g.help {
		return cmd.Help()
	}
	return do(g)
}

// check tells what is wrong with a configuration, or what it opens.
func (p *program) check(g given) error {
	if len(g.rest) != 1 {
		return errors.New("config check needs one file: module-controller config check FILE")
	}
	name := g.rest[0]
	g.values[flagOf(ownPrefix+"CONFIG")], g.rest = name, nil
	cfg, err := g.config(p.env)
	if r, is := errors.AsType[refusal](err); is {
		return fmt.Errorf("%s would not be taken:\n  %s", name, r.lines())
	}
	if err != nil {
		return err
	}
	p.print("%s is fine\n", name)
	for _, note := range cfg.notes() {
		p.print("warning: %s\n", note)
	}
	return nil
}

func (p *program) print(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

// help shows how a command is used; the flags of settings in sections, as wide as the
// terminal is.
func (p *program) help(cmd *cobra.Command) {
	long := cmd.Long
	if long == "" {
		long = cmd.Short
	}
	p.print("%s\n\nUsage:\n  %s\n", long, cmd.UseLine())
	if cmd.HasAvailableSubCommands() {
		p.print("\nCommands:\n")
		p.commands(cmd)
	}
	if !cmd.DisableFlagParsing {
		return
	}
	var sections strings.Builder
	cliflag.PrintSections(&sections, newFlags().sections, width(p.out))
	for line := range strings.Lines(sections.String()) {
		p.print("%s\n", strings.TrimRight(line, " \n"))
	}
}

// commands lists those that do something.
func (p *program) commands(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case !sub.IsAvailableCommand():
		case sub.HasAvailableSubCommands():
			p.commands(sub)
		default:
			path := strings.TrimPrefix(strings.TrimSuffix(sub.UseLine(), " [flags]"), "module-controller ")
			p.print("  %-20s %s\n", path, sub.Short)
		}
	}
}

// columns are how wide help is where it is not shown on a terminal.
const columns = 80

// width is how many columns what is shown may have.
func width(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return columns
}
