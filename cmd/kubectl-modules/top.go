package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"module-controller/internal/fleet"
)

func newTop(o *options) *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use: "top", Short: "Show the fleet, again and again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.top(c.Context(), every) },
	}
	c.Flags().DurationVar(&every, "every", 2*time.Second, "How often to look")
	return c
}

// mostShown is how many findings fit below the table.
const mostShown = 5

// top shows the fleet until ctx ends. Where nobody looks, it shows it once.
func (o *options) top(ctx context.Context, every time.Duration) error {
	r, err := o.reader()
	if err != nil {
		return err
	}
	tick := time.NewTicker(max(every, 500*time.Millisecond))
	defer tick.Stop()
	for {
		s, err := r.Read(ctx, fleet.Scope{Modules: true, Replicas: true})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if terminal(o.Out) {
			o.line("\x1b[H\x1b[2J\x1b[3J") // home, and clear
		}
		if err := o.screen(s); err != nil || !terminal(o.Out) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// screen shows the members, how ready all is, and the worst of what is wrong.
func (o *options) screen(s *fleet.Snapshot) error {
	st := statusOf(s)
	o.line("%s  %s", o.in(bold, st.Namespace), s.At.Format(time.TimeOnly))
	if err := o.printMembers(st.Members); err != nil {
		return err
	}
	o.line("\nbases:   %s, %d without an owner\nmodules: %s\n", st.Bases, st.Unowned, st.Modules)
	for _, f := range st.Findings[:min(mostShown, len(st.Findings))] {
		m := marks[f.Severity]
		o.line("%s %s %s", o.in(m.paint, m.sign), f.Cause, o.in(faint, "["+f.Object.String()+"]"))
	}
	if more := len(st.Findings) - mostShown; more > 0 {
		o.line("and %d more: kubectl modules status", more)
	}
	return nil
}
