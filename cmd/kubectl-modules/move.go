package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"module-controller/election"
	"module-controller/internal/fleet"
	"module-controller/provider/plan"
	"module-controller/shard"
)

// move is what is asked of a base.
type move struct {
	*options
	undo, wait    bool
	long, timeout time.Duration
}

// mostPinned is how long a base can be pinned.
const mostPinned = 30 * 24 * time.Hour

func newMove(o *options) *cobra.Command {
	m := &move{options: o}
	c := &cobra.Command{
		Use: "move BASE MEMBER", Short: "Have a base be a member's for a while", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: o.basesThenMembers,
		Long: `Have a base be a member's for a while, whomever members would share it to. It is handed over as
in a rolling update: its Node does not turn NotReady, and nothing is installed again.

The base is pinned until --for is over, by the member's clock; then it goes where members share it
to. While the member is away, leaves or is drained, another has the base, and it comes back.
It stands in the annotation ` + election.PinsNote + ` of the membership Lease, and in
kubectl modules base BASE. --undo ends it. You need the right to patch that Lease.`,
		Example: "  kubectl modules move base-0001 module-controller-1 --for 30m --wait\n  kubectl modules move base-0001 --undo",
		RunE:    func(c *cobra.Command, args []string) error { return m.run(c.Context(), args) },
	}
	c.Flags().BoolVar(&m.undo, "undo", false, "Have the base go where members share it to")
	c.Flags().BoolVar(&m.wait, "wait", false, "Wait until the member owns the base")
	c.Flags().DurationVar(&m.long, "for", time.Hour, "How long the base is the member's, 30 days at most")
	c.Flags().DurationVar(&m.timeout, "timeout", 5*time.Minute, "How long to wait at most")
	return c
}

// wrongCall says what is wrong with how move is called.
func (m *move) wrongCall(args []string) error {
	switch {
	case m.undo && (len(args) == 2 || m.wait):
		return errors.New("--undo goes with a base alone: kubectl modules move BASE --undo")
	case !m.undo && len(args) == 1:
		return errors.New("name the member too: kubectl modules move BASE MEMBER")
	case m.long < time.Second, m.long > mostPinned:
		return fmt.Errorf("--for is %s; it may be a second to 30 days", m.long)
	}
	return nil
}

func (m *move) run(ctx context.Context, args []string) error {
	if err := m.wrongCall(args); err != nil {
		return err
	}
	r, err := m.reader()
	if err != nil {
		return err
	}
	base := args[0]
	if _, is := plan.BaseOf(base); !is {
		if base, err = m.findBase(ctx, r, base); err != nil {
			return err
		}
	}
	s, err := r.Read(ctx, fleet.Scope{})
	if err != nil {
		return err
	}
	if m.undo {
		if err := m.unpin(ctx, r, s, base, ""); err != nil {
			return err
		}
		m.line("base %s goes where members share it to", args[0])
		return nil
	}
	return m.ask(ctx, r, s, base, args[1])
}

// ask has a base pinned to a member.
func (m *move) ask(ctx context.Context, r fleet.Reader, s *fleet.Snapshot, base, to string) error {
	if err := refuseMove(s, base, to); err != nil {
		return err
	}
	if err := m.pin(ctx, r, s, base, to); err != nil {
		return err
	}
	m.line("base %s is pinned to %s for %s", base, to, m.long)
	if !m.wait {
		return nil
	}
	return m.await(ctx, r, m.timeout, func(s *fleet.Snapshot) (left string, err error) {
		return ownedBy(s, base, to), nil
	})
}

// ownedBy says whose a base is where it is not a member's yet; empty where it is.
func ownedBy(s *fleet.Snapshot, base, to string) string {
	owner := "nobody"
	if b := s.Base(base); b != nil {
		if m := s.Owner(b); m != nil {
			owner = m.Name
		}
	}
	if owner == to {
		return ""
	}
	return "base " + base + " is owned by " + owner
}

// refuseMove says why a base is not moved to a member.
func refuseMove(s *fleet.Snapshot, base, to string) error {
	b := s.Base(base)
	switch {
	case b == nil:
		return fmt.Errorf("no base %s is known: kubectl modules bases lists them", base)
	case s.Foreign(b):
		return fmt.Errorf("base %s is held by another controller or installation: kubectl modules why %s", base, base)
	}
	if err := obeyed(s); err != nil {
		return err
	}
	m, err := memberOf(s, to)
	switch {
	case err != nil:
		return err
	case !shard.Ready([]shard.Member{m.Member}, b.ID.Env):
		return fmt.Errorf("member %s is not ready to have bases of %s: it lives: %t, it leaves: %t, its tunnels are up: %t, it is cordoned: %t, it serves %v",
			to, b.ID.Env, m.Holder != "", m.Draining, m.Linked, m.Cordoned, m.Serves)
	case len(m.Pins) >= election.MaxPins:
		return fmt.Errorf("%d bases are pinned to %s, and no more can be: kubectl modules move BASE --undo", len(m.Pins), to)
	}
	return nil
}

// pin pins a base to a member, after it was taken from every other: of two pins the one counts
// that ends last.
func (m *move) pin(ctx context.Context, r fleet.Reader, s *fleet.Snapshot, base, to string) error {
	if err := m.unpin(ctx, r, s, base, to); err != nil {
		return err
	}
	return m.change(ctx, r, to, func(pins map[string]time.Time) { pins[base] = r.Now().Add(m.long) })
}

// unpin takes the pin of a base from all members but one.
func (m *move) unpin(ctx context.Context, r fleet.Reader, s *fleet.Snapshot, base, but string) error {
	var errs []error
	for _, other := range s.Members {
		if _, pinned := other.Pins[base]; pinned && other.Name != but {
			errs = append(errs, m.change(ctx, r, other.Name, func(pins map[string]time.Time) { delete(pins, base) }))
		}
	}
	return errors.Join(errs...)
}

// change changes the pins of a member. Its Lease is renewed every second, so it is tried again
// where it was written in between.
func (m *move) change(ctx context.Context, r fleet.Reader, name string, how func(pins map[string]time.Time)) error {
	leases := r.Client.CoordinationV1().Leases(r.Namespace)
	return retry.OnError(retry.DefaultBackoff, apierrors.IsConflict, func() error {
		lease, err := leases.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("read Lease %s/%s: %w", r.Namespace, name, err)
		}
		is := election.ReadMember(lease)
		pins := map[string]time.Time{}
		maps.Copy(pins, is.Pins)
		how(pins)
		return m.patch(ctx, is, map[string]any{"resourceVersion": lease.ResourceVersion, "annotations": election.Pin(pins)})
	})
}

// basesThenMembers completes a base, and then a member.
func (o *options) basesThenMembers(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return o.bases(c, args, prefix)
	}
	return o.members(c, args[1:], prefix)
}

// members completes the names of members.
func (o *options) members(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := o.read(c.Context(), fleet.Scope{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, m := range s.Members {
		names = append(names, m.Name)
	}
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
