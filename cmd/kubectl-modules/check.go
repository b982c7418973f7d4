package main

import (
	"github.com/spf13/cobra"

	"module-controller/internal/diagnose"
	"module-controller/internal/fleet"
)

func newCheck(o *options) *cobra.Command {
	var pre bool
	var at broker
	c := &cobra.Command{
		Use: "check", Short: "Check the installation, or with --pre the cluster before it", Args: cobra.NoArgs,
		Long: `Check that the API server is reached, that the controller has its rights, that a failover
fits the cluster's grace, and what is wrong with members, bases and modules. What does not hold
has a hint and a page.

With --pre it checks whether the controller can be installed: your own rights, the version, and
others that serve bases already.

With --broker it connects to the broker too, from here, with no part in the controller's session:
whether it is reached, its certificate is good, and commands of other controllers are retained on
it. How the members reach it is told without that.`,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := o.reader()
			if err != nil {
				return err
			}
			s, err := r.Read(c.Context(), fleet.Everything)
			if err != nil {
				return err
			}
			cluster, err := r.ReadCluster(c.Context(), o.account, pre)
			if err != nil {
				return err
			}
			groups := diagnose.Check(s, cluster)
			if pre {
				groups = diagnose.PreCheck(s, cluster)
			}
			looked, err := at.look(c.Context(), s)
			if err != nil {
				return err
			}
			groups = append(groups, looked...)
			return firstOf(o.printGroups(groups), verdict(diagnose.Findings(groups)))
		},
	}
	at.addFlags(c)
	c.Flags().BoolVar(&pre, "pre", false, "Check the cluster before the controller is installed")
	return c
}

func (o *options) printGroups(groups []diagnose.Group) error {
	if printed, err := o.object(groups); printed || err != nil {
		return err
	}
	for _, g := range groups {
		o.line("%s", o.in(bold, g.Name))
		for _, t := range g.Ticks {
			switch {
			case t.Skipped != "":
				o.line("  %s %s: not checked, %s", o.in(faint, "?"), t.Holds, t.Skipped)
			case len(t.Findings) > 0:
				o.findings(t.Findings, "  ")
			default:
				o.line("  %s %s", o.in(green, "✓"), t.Holds)
			}
		}
	}
	return nil
}
