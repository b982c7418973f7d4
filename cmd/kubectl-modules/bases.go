package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/internal/diagnose"
	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// base is a base as it is shown.
type base struct {
	Identity    string `json:"identity"`
	Environment string `json:"environment"`
	Node        string `json:"node"`
	Name        string `json:"name"`
	Version     string `json:"version"`
	// State is Ready, the reason for which it is not, or NoNode.
	State   string `json:"state"`
	Owner   string `json:"owner"`
	Modules counts `json:"modules"`
	Tunnel  string `json:"tunnel"`
	Address string `json:"address"`
	Memory  string `json:"metaspace"`
	Epoch   int32  `json:"epoch"`
	// Pin is where it was moved to by hand; nil where it was not.
	Pin *fleet.Pin `json:"pin,omitempty"`
}

func baseOf(s *fleet.Snapshot, b *fleet.Base) base {
	shown := base{Identity: b.ID.Identity, Environment: b.ID.Env, Node: b.Name, Name: b.Says.Name, Version: b.Says.Version,
		State: "NoNode", Owner: "-", Tunnel: strings.TrimSuffix(b.Says.Tunnel, "_tunnel_provider"), Address: b.Says.IP}
	if b.Node != nil {
		shown.State = cmp.Or(b.NotReady(), "Ready")
		if b.Node.Spec.Unschedulable {
			shown.State += ",Cordoned"
		}
		memory := b.Node.Status.Allocatable[corev1.ResourceMemory]
		shown.Memory = resource.NewQuantity(memory.Value(), resource.BinarySI).String()
	}
	if b.Lease != nil {
		shown.Epoch = b.Lease.Epoch
	}
	if pin, is := s.PinOf(b.Name); is {
		shown.Pin = &pin
	}
	if m := s.Owner(b); m != nil {
		shown.Owner = m.Name
	} else if s.Foreign(b) {
		shown.Owner = "foreign: " + cmp.Or(b.Lease.Installation, b.Lease.Holder)
	}
	for _, p := range s.PodsOn(b.Name) {
		if fleet.IsModule(p) {
			shown.Modules.All++
			if podReady(p) {
				shown.Modules.Ready++
			}
		}
	}
	return shown
}

func podReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func newBases(o *options) *cobra.Command {
	var name, env, owner string
	var wrong bool
	c := &cobra.Command{
		Use: "bases", Short: "List the bases", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := o.read(c.Context(), fleet.Scope{Modules: true})
			if err != nil {
				return err
			}
			all := []base{}
			for _, b := range s.Bases {
				all = append(all, baseOf(s, b))
			}
			all = slices.DeleteFunc(all, func(b base) bool {
				switch {
				case name != "" && b.Name != name, env != "" && b.Environment != env, owner != "" && b.Owner != owner:
					return true
				}
				return wrong && b.State == "Ready" && b.Modules.Ready == b.Modules.All && b.Owner != "-"
			})
			if printed, err := o.object(all); printed || err != nil {
				return err
			}
			return o.printBases(all)
		},
	}
	c.Flags().StringVar(&name, "name", "", "Only bases of that application")
	c.Flags().StringVar(&env, "env", "", "Only bases of that environment")
	c.Flags().StringVar(&owner, "owner", "", "Only bases that this member owns")
	c.Flags().BoolVar(&wrong, "wrong", false, "Only bases with which something is wrong")
	return c
}

func (o *options) printBases(all []base) error {
	rows := []row{{"BASE", "ENV", "NAME", "VERSION", "STATE", "OWNER", "MODULES", "TUNNEL", "ADDRESS", "METASPACE", "EPOCH", "NODE"}}
	for _, b := range all {
		rows = append(rows, row{b.Identity, b.Environment, b.Name, b.Version, b.State, b.Owner, fmt.Sprintf("%d/%d", b.Modules.Ready, b.Modules.All),
			b.Tunnel, b.Address, b.Memory, strconv.Itoa(int(b.Epoch)), b.Node})
	}
	return o.table(7, rows...)
}

// one is one base with its pods and what is wrong.
type one struct {
	base
	Pods     []pod              `json:"pods"`
	Findings []diagnose.Finding `json:"findings"`
}

// pod is a module's pod as it is shown.
type pod struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Modules   []string `json:"modules"`
	Ready     bool     `json:"ready"`
	Shows     string   `json:"shows"`
}

func newBase(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "base BASE", Short: "Show one base, its modules and what is wrong", Args: cobra.ExactArgs(1), ValidArgsFunction: o.bases,
		RunE: func(c *cobra.Command, args []string) error {
			r, err := o.reader()
			if err != nil {
				return err
			}
			name := args[0]
			if _, is := plan.BaseOf(name); !is {
				if name, err = o.findBase(c.Context(), r, name); err != nil {
					return err
				}
			}
			s, err := r.ReadBase(c.Context(), name)
			if err != nil {
				return err
			}
			b := s.Base(name)
			if b == nil {
				return fmt.Errorf("no base %s is known: kubectl modules why %s says why", args[0], args[0])
			}
			is := one{base: baseOf(s, b), Pods: podsOf(s, name), Findings: diagnose.Base(s, b)}
			return firstOf(o.printBase(is), verdict(is.Findings))
		},
	}
}

func podsOf(s *fleet.Snapshot, node string) []pod {
	all := []pod{}
	for _, p := range s.PodsOn(node) {
		is := pod{Namespace: p.Namespace, Name: p.Name, Ready: podReady(p), Shows: string(p.Status.Phase)}
		for _, key := range plan.Wanted(p) {
			is.Modules = append(is.Modules, key.String())
		}
		for _, c := range p.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil {
				is.Shows = w.Reason + ": " + w.Message
			}
		}
		all = append(all, is)
	}
	return all
}

func (o *options) printBase(is one) error {
	if printed, err := o.object(is); printed || err != nil {
		return err
	}
	if err := o.printBases([]base{is.base}); err != nil {
		return err
	}
	o.line("")
	rows := []row{{"NAMESPACE", "POD", "MODULES", "READY", "SHOWS"}}
	for _, p := range is.Pods {
		rows = append(rows, row{p.Namespace, p.Name, strings.Join(p.Modules, ","), strconv.FormatBool(p.Ready), p.Shows})
	}
	if err := o.table(len(rows[0]), rows...); err != nil {
		return err
	}
	if len(is.Findings) > 0 {
		o.line("")
		o.findings(is.Findings, "")
	}
	return nil
}
