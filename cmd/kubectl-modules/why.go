package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/internal/diagnose"
	"module-controller/internal/fleet"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

func newWhy(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "why POD|BASE", Short: "Say why a pod or a base is not ready, and what to do",
		Long: `Show the way from a Deployment to the module that serves, where it does not go on, the
cause and what to do.

A pod is named as NAME or pod/NAME, in the namespace of -n. A base is named by its identity, by
its Node, or as base/IDENTITY. A Pod in which a base runs is named as a pod: it is said why
there is no base in it.`,
		Example:           "  kubectl modules why -n shop orders-7d9f-abcde\n  kubectl modules why base-0001\n  kubectl modules why vnode.10.0.0.7.default",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.podsAndBases,
		RunE:              func(c *cobra.Command, args []string) error { return o.why(c.Context(), args[0]) },
	}
}

func (o *options) why(ctx context.Context, name string) error {
	chain, err := o.chainOf(ctx, name)
	if err != nil {
		return err
	}
	if printed, err := o.object(chain); printed || err != nil {
		return firstOf(err, verdict(chain.Findings))
	}
	o.line("%s", o.in(bold, chain.About.String()))
	for _, l := range chain.Links {
		sign, paint := "✓", green
		switch l.State {
		case diagnose.Stuck:
			sign, paint = "✗", red
		case diagnose.Pending:
			sign, paint = "…", faint
		case diagnose.Done:
		}
		o.line("  %s %s%s", o.in(paint, sign), l.What, said(l.Says))
	}
	if len(chain.Findings) == 0 {
		o.line("%s", o.in(green, "nothing is wrong"))
	}
	o.findings(chain.Findings, "")
	return verdict(chain.Findings)
}

func said(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chainOf reads what is asked for: a pod, or where there is none of that name, a base.
func (o *options) chainOf(ctx context.Context, name string) (diagnose.Chain, error) {
	r, err := o.reader()
	if err != nil {
		return diagnose.Chain{}, err
	}
	kind, short, named := strings.Cut(name, "/")
	switch {
	case !named:
		kind, short = "", name
	case slices.Contains([]string{"base", "node", "nodes", "no"}, kind):
		return o.chainOfBase(ctx, r, short)
	}
	if _, isNode := plan.BaseOf(short); isNode && kind == "" {
		return o.chainOfBase(ctx, r, short)
	}
	namespace, err := o.namespace()
	if err != nil {
		return diagnose.Chain{}, err
	}
	s, pod, err := r.ReadPod(ctx, namespace, short)
	switch {
	case apierrors.IsNotFound(err) && kind == "":
		return o.chainOfBase(ctx, r, short)
	case err != nil:
		return diagnose.Chain{}, err
	}
	return diagnose.WhyPod(s, pod), nil
}

// chainOfBase reads a base by its Node's name, or by its identity in any environment.
func (o *options) chainOfBase(ctx context.Context, r fleet.Reader, name string) (diagnose.Chain, error) {
	if _, is := plan.BaseOf(name); !is {
		found, err := o.findBase(ctx, r, name)
		if err != nil {
			return diagnose.Chain{}, err
		}
		name = found
	}
	s, err := r.ReadBase(ctx, name)
	if err != nil {
		return diagnose.Chain{}, err
	}
	return diagnose.WhyBase(s, name), nil
}

// findBase finds the name of a base by its identity: one of this installation's goes before one
// that another took, and before one of another installation. One that nobody knows has the name
// that it would have in the first environment that is served.
func (o *options) findBase(ctx context.Context, r fleet.Reader, identity string) (string, error) {
	s, err := r.Read(ctx, fleet.Scope{})
	if err != nil {
		return "", err
	}
	var ours, taken, others []string
	for _, b := range s.Bases {
		switch {
		case b.ID.Identity != identity:
		case s.Elsewhere(b):
			others = append(others, b.Name)
		case s.Foreign(b):
			taken = append(taken, b.Name)
		default:
			ours = append(ours, b.Name)
		}
	}
	for _, found := range [][]string{ours, taken, others} {
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return "", fmt.Errorf("%d bases are called %s, in several environments: name one by its Node, %s", len(found), identity, strings.Join(found, " or "))
		}
	}
	env := "default"
	if envs, _ := s.Served(); len(envs) > 0 {
		env = envs[0]
	}
	return plan.NodeName(tunnel.BaseID{Env: env, Identity: identity})
}

// podsAndBases completes the names of both.
func (o *options) podsAndBases(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	r, err := o.reader()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	namespace, err := o.namespace()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	pods, err := r.Client.CoreV1().Pods(namespace).List(c.Context(), metav1.ListOptions{LabelSelector: plan.LabelComponent + "=" + plan.ComponentModule})
	if err == nil {
		for _, p := range pods.Items {
			names = append(names, p.Name)
		}
	}
	bases, _ := o.bases(c, args, "")
	return append(names, bases...), cobra.ShellCompDirectiveNoFileComp
}

// bases completes the identities of bases.
func (o *options) bases(c *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	r, err := o.reader()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	s, err := r.Read(c.Context(), fleet.Scope{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, b := range s.Bases {
		names = append(names, b.ID.Identity)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
