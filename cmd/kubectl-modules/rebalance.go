package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"module-controller/internal/fleet"
)

func newRebalance(o *options) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "rebalance --dry-run", Short: "Show which bases would move, if members stay as they are", Args: cobra.NoArgs,
		Long: `Show which bases members would move between themselves, if they stay as they are. Members do
that by themselves once they were the same for SETTLE_TIME: nothing needs to be asked for. To have
one base be a member's for a while, see kubectl modules move.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if !dry {
				return errors.New("members share bases by themselves: give --dry-run to see what they would move")
			}
			s, err := o.read(c.Context(), fleet.Scope{})
			if err != nil {
				return err
			}
			moves := append([]fleet.Move{}, s.Moves()...)
			if printed, err := o.object(moves); printed || err != nil {
				return err
			}
			if len(moves) == 0 {
				o.line("no base would move")
				return nil
			}
			rows := []row{{"BASE", "FROM", "TO"}}
			for _, m := range moves {
				rows = append(rows, row{m.Base, cmp.Or(m.From, "-"), m.To})
			}
			return o.table(3, rows...)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "Only show it; there is no other way")
	return c
}
