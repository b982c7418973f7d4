package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/election"
	"module-controller/internal/fleet"
)

// drain is what is asked of a member.
type drain struct {
	*options
	undo, force, wait bool
	timeout           time.Duration
}

func newDrain(o *options) *cobra.Command {
	d := &drain{options: o}
	c := &cobra.Command{
		Use: "drain MEMBER", Short: "Have a member give its bases to the others, and take none", Args: cobra.ExactArgs(1), ValidArgsFunction: o.members,
		Long: `Have a member give its bases to the others, and take none, as before maintenance. Each is handed
over as in a rolling update: no Node turns NotReady, and nothing is installed again.

It stands in the annotation ` + election.CordonedNote + ` of the membership Lease, so it
outlasts restarts of the replica, unless it stays away for more than ten minutes. --undo ends it.
You need the right to patch that Lease.`,
		Example: "  kubectl modules drain module-controller-1 --wait\n  kubectl modules drain module-controller-1 --undo",
		RunE:    func(c *cobra.Command, args []string) error { return d.run(c.Context(), args[0]) },
	}
	c.Flags().BoolVar(&d.undo, "undo", false, "Have the member take bases again")
	c.Flags().BoolVar(&d.force, "force", false, "Ask for it also where no other member is ready; the member keeps what nobody else can have until one is")
	c.Flags().BoolVar(&d.wait, "wait", false, "Wait until the member owns no base any more")
	c.Flags().DurationVar(&d.timeout, "timeout", 5*time.Minute, "How long to wait at most")
	return c
}

func (d *drain) run(ctx context.Context, name string) error {
	if d.undo && (d.wait || d.force) {
		return errors.New("--undo goes with neither --wait nor --force")
	}
	r, err := d.reader()
	if err != nil {
		return err
	}
	s, err := r.Read(ctx, fleet.Scope{})
	if err != nil {
		return err
	}
	m, err := memberOf(s, name)
	if err != nil {
		return err
	}
	if d.undo {
		return d.takeBack(ctx, m)
	}
	return d.ask(ctx, r, s, m)
}

// takeBack has a member take bases again.
func (d *drain) takeBack(ctx context.Context, m fleet.Member) error {
	if err := d.annotate(ctx, m, election.Cordon(false)); err != nil {
		return err
	}
	d.line("member %s takes bases again, once the team is the same for SETTLE_TIME", m.Name)
	return nil
}

// ask has a member cordoned, and waits for what follows if that is wanted.
func (d *drain) ask(ctx context.Context, r fleet.Reader, s *fleet.Snapshot, m fleet.Member) error {
	if err := d.refuse(s, m); err != nil {
		return err
	}
	if err := d.annotate(ctx, m, election.Cordon(true)); err != nil {
		return err
	}
	d.line("member %s is cordoned: it gives up %d bases, and takes none until kubectl modules drain %s --undo", m.Name, len(s.Owned(m)), m.Name)
	if !d.wait {
		return nil
	}
	return d.await(ctx, r, d.timeout, func(s *fleet.Snapshot) (left string, err error) {
		now, err := memberOf(s, m.Name)
		if n := len(s.Owned(now)); err == nil && n > 0 {
			left = fmt.Sprintf("member %s owns %d bases", m.Name, n)
		}
		return left, err
	})
}

// refuse says why a member is not drained.
func (d *drain) refuse(s *fleet.Snapshot, m fleet.Member) error {
	if err := obeyed(s); err != nil {
		return err
	}
	if m.Holder == "" {
		return fmt.Errorf("member %s does not live: it owns no bases", m.Name)
	}
	if envs := s.Without(m.Name); len(envs) > 0 && !d.force {
		return fmt.Errorf("no other member is ready to have the bases of %s: start more replicas, or give --force to have %s give them up once one is", strings.Join(envs, ", "), m.Name)
	}
	return nil
}

// obeyed says which members keep requests from counting.
func obeyed(s *fleet.Snapshot) error {
	if is, not := s.Obeyed(); !is {
		return fmt.Errorf("members of an earlier version would give the bases back: %s; let the rollout finish first", strings.Join(not, ", "))
	}
	return nil
}

// memberOf is the member of a name.
func memberOf(s *fleet.Snapshot, name string) (fleet.Member, error) {
	var names []string
	for _, m := range s.Members {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return fleet.Member{}, fmt.Errorf("there is no member %s in namespace %s; there are: %s", name, s.Namespace, strings.Join(names, ", "))
}

// annotate changes annotations of a membership Lease.
func (o *options) annotate(ctx context.Context, m fleet.Member, notes map[string]*string) error {
	return o.patch(ctx, m, map[string]any{"annotations": notes})
}

// patch changes the metadata of a membership Lease.
func (o *options) patch(ctx context.Context, m fleet.Member, metadata map[string]any) error {
	client, err := o.connect()
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("write a patch: %w", err)
	}
	_, err = client.CoordinationV1().Leases(m.Installation).Patch(ctx, m.Name, types.MergePatchType, text, metav1.PatchOptions{FieldManager: "kubectl-modules"})
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; the Role module-controller-operator of namespace %s has that right", err, m.Installation)
	case err != nil:
		return fmt.Errorf("patch Lease %s/%s: %w", m.Installation, m.Name, err)
	}
	return nil
}

// await reads the fleet again and again until nothing is left, and tells what is where that
// changes. When the time is over it is something wrong.
func (o *options) await(ctx context.Context, r fleet.Reader, timeout time.Duration, look func(*fleet.Snapshot) (left string, err error)) error {
	over := time.After(timeout)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for told := ""; ; {
		s, err := r.Read(ctx, fleet.Scope{})
		if err != nil {
			return err
		}
		left, err := look(s)
		switch {
		case err != nil:
			return err
		case left == "":
			o.line("done")
			return nil
		case left != told:
			o.line("%s", left)
			told = left
		}
		select {
		case <-tick.C:
		case <-over:
			o.line("it is not done after %s: kubectl modules status says what is wrong", timeout)
			return errWrong
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
