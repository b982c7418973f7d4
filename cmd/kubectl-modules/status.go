package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"module-controller/internal/diagnose"
	"module-controller/internal/fleet"
)

// status is the fleet in short.
type status struct {
	Namespace string             `json:"namespace"`
	Server    string             `json:"server"`
	Members   []member           `json:"members"`
	Bases     counts             `json:"bases"`
	Modules   counts             `json:"modules"`
	Unowned   int                `json:"unowned"`
	Balance   fleet.Balance      `json:"balance"`
	Findings  []diagnose.Finding `json:"findings"`
}

// counts says of how many how many are ready.
type counts struct {
	Ready int `json:"ready"`
	All   int `json:"all"`
}

func (c counts) String() string { return fmt.Sprintf("%d of %d ready", c.Ready, c.All) }

// statusOf sums a fleet up.
func statusOf(s *fleet.Snapshot) status {
	st := status{Namespace: s.Namespace, Server: s.Server, Members: membersOf(s), Balance: s.Balance()}
	for _, b := range s.Bases {
		if s.Elsewhere(b) {
			continue
		}
		if b.Node != nil {
			st.Bases.All++
			if b.NotReady() == "" {
				st.Bases.Ready++
			}
		}
		if s.Owner(b) == nil {
			st.Unowned++
		}
	}
	for i := range s.Modules {
		if podReady(&s.Modules[i]) {
			st.Modules.Ready++
		}
	}
	st.Modules.All = len(s.Modules)
	st.Findings = diagnose.Fleet(s)
	return st
}

func newStatus(o *options) *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Show the members, what each owns, and what is wrong", Args: cobra.NoArgs,
		Long: `Show the members, what each owns, how the bases are shared, and what is wrong.

It ends with 0 where nothing is wrong, with 1 where something does not work, and with 2 where
that could not be found out. With --wait it looks again until nothing is wrong.`,
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := o.awaitStatus(c.Context(), wait, timeout)
			if err != nil {
				return err
			}
			return firstOf(o.printStatus(st), verdict(st.Findings))
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "Look again until nothing is wrong")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "How long to wait at most")
	return c
}

// lookAgain is how often a fleet is looked at that is waited for.
const lookAgain = 2 * time.Second

// awaitStatus reads the fleet, and again until nothing is wrong, where that is waited for.
// When the time is over it gives the last one.
func (o *options) awaitStatus(ctx context.Context, wait bool, timeout time.Duration) (status, error) {
	r, err := o.reader()
	if err != nil {
		return status{}, err
	}
	over := time.After(timeout)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		s, err := r.Read(ctx, fleet.Everything)
		if err != nil {
			return status{}, err
		}
		st := statusOf(s)
		if !wait || verdict(st.Findings) == nil {
			return st, nil
		}
		select {
		case <-tick.C:
		case <-over:
			return st, nil
		case <-ctx.Done():
			return status{}, ctx.Err()
		}
	}
}

func (o *options) printStatus(st status) error {
	if printed, err := o.object(st); printed || err != nil {
		return err
	}
	o.line("%s %s, Kubernetes %s", o.in(bold, "Installation"), st.Namespace, st.Server)
	if err := o.printMembers(st.Members); err != nil {
		return err
	}
	o.line("")
	o.line("bases:   %s, %d without an owner, %d to %d a member", st.Bases, st.Unowned, st.Balance.Least, st.Balance.Most)
	o.line("modules: %s", st.Modules)
	if len(st.Findings) == 0 {
		o.line("%s", o.in(green, "nothing is wrong"))
		return nil
	}
	o.line("")
	o.findings(st.Findings, "")
	return nil
}

// member is a member as it is shown.
type member struct {
	Name         string   `json:"name"`
	State        string   `json:"state"`
	Owned        int      `json:"owned"`
	Assigned     int      `json:"assigned"`
	Tunnels      string   `json:"tunnels"`
	Version      string   `json:"version"`
	Environments []string `json:"environments,omitempty"`
	// Cordoned says that it is asked to have no bases, Pinned how many were moved to it by hand.
	Cordoned bool `json:"cordoned,omitempty"`
	Pinned   int  `json:"pinnedBases,omitempty"`
	// Silence is how long it has not renewed, in seconds.
	Silence int    `json:"silenceSeconds"`
	Session string `json:"session,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

func membersOf(s *fleet.Snapshot) []member {
	all, should := []member{}, map[string]int{}
	for _, name := range s.Assigned() {
		should[name]++
	}
	for _, m := range s.Members {
		shown := member{Name: m.Name, State: m.State, Owned: len(s.Owned(m)), Assigned: should[m.Name], Tunnels: "down", Version: m.Version,
			Environments: m.Serves, Cordoned: m.Cordoned, Pinned: len(m.Pins), Silence: int(s.Silence(m) / time.Second), Session: m.Holder, Trouble: m.Trouble}
		if m.Linked {
			shown.Tunnels = "up"
		}
		if m.Holder == "" {
			shown.Tunnels = "-"
		}
		all = append(all, shown)
	}
	return all
}

func newMembers(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "members", Short: "List the replicas of the controller", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := o.read(c.Context(), fleet.Scope{})
			if err != nil {
				return err
			}
			all := membersOf(s)
			if printed, err := o.object(all); printed || err != nil {
				return err
			}
			return o.printMembers(all)
		},
	}
}

// read reads the fleet.
func (o *options) read(ctx context.Context, scope fleet.Scope) (*fleet.Snapshot, error) {
	r, err := o.reader()
	if err != nil {
		return nil, err
	}
	return r.Read(ctx, scope)
}

func (o *options) printMembers(all []member) error {
	rows := []row{{"MEMBER", "STATE", "OWNS", "SHOULD", "TUNNELS", "VERSION", "RENEWED", "ENVIRONMENTS", "SESSION"}}
	for _, m := range all {
		state := m.State
		if m.Cordoned {
			state += ",Cordoned"
		}
		rows = append(rows, row{m.Name, state, strconv.Itoa(m.Owned), strconv.Itoa(m.Assigned), m.Tunnels, m.Version,
			strconv.Itoa(m.Silence) + "s ago", strings.Join(m.Environments, ","), m.Session})
	}
	return o.table(6, rows...)
}
