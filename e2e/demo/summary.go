package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rows is how many bases the table shows.
const rows = 8

// sumUp shows a table of bases and pods, and what happened.
func (s *show) sumUp(ctx context.Context) {
	fmt.Println()
	if err := s.table(ctx); err != nil {
		fmt.Println("no table:", err)
	}
	fmt.Println()
	fmt.Printf("  bases    %d simulated", simulated)
	if s.real != nil {
		fmt.Print(", 1 real JVM")
	}
	fmt.Printf("; all Nodes Ready %s after the controller was\n", s.nodesReady.Round(time.Millisecond))
	fmt.Printf("  modules  %d pods Ready %s after their Deployments were created\n", s.pods(), s.podsReady.Round(time.Millisecond))
	fmt.Printf("  failover %s from kill -9 of a replica until the last of its bases had another owner\n", s.takenOver.Round(time.Millisecond))
	if counts, err := s.fleet.Counts(); err == nil {
		fmt.Printf("  commands %d installs and %d uninstalls done by the simulated bases\n", counts.Installs, counts.Uninstalls)
	}
	fmt.Printf("  whole    %s\n\n", time.Since(s.started).Round(100*time.Millisecond))
}

func (s *show) table(ctx context.Context) error {
	pods, err := s.list(ctx)
	if err != nil {
		return err
	}
	nodes, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + env})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	onNode := map[string]corev1.Pod{}
	for _, p := range pods {
		onNode[p.Spec.NodeName] = p
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(b.Labels["vnode.koupleless.io/name"], a.Labels["vnode.koupleless.io/name"]), cmp.Compare(a.Name, b.Name))
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	leases, err := s.leases(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "  NODE\tOWNER\tTUNNEL\tMEMORY\tPOD\tSTATUS")
	for _, n := range nodes.Items[:min(rows, len(nodes.Items))] {
		p := onNode[n.Name]
		status := string(p.Status.Phase)
		if podReady(p) {
			status += ", Ready"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s of %s\t%s\t%s\n", n.Name, podOf(leases[n.Name]), n.Labels["vnode.koupleless.io/tunnel"],
			n.Status.Allocatable.Memory(), n.Status.Capacity.Memory(), cmp.Or(p.Name, "-"), cmp.Or(status, "-"))
	}
	if more := len(nodes.Items) - rows; more > 0 {
		_, _ = fmt.Fprintf(w, "  … %d more\t\t\t\t\t\n", more)
	}
	return w.Flush()
}

// explain says how to look at what is kept up.
func (s *show) explain() {
	kubectl := fmt.Sprintf("%s --kubeconfig %s", filepath.Join(s.plane.BinDir(), "kubectl"), s.plane.Kubeconfig())
	fmt.Printf("It stays up. Look at it from another terminal:\n\n"+
		"  alias k='%s'\n"+
		"  k get nodes -L vnode.koupleless.io/name,vnode.koupleless.io/tunnel\n"+
		"  k get pods -o wide\n"+
		"  k get lease -n kube-node-lease -L virtual-kubelet.koupleless.io/owner,virtual-kubelet.koupleless.io/state\n"+
		"  k get lease -n module-controller\n"+
		"  k scale deployment orders --replicas 10\n\n"+
		"Logs are in %s. Interrupt with Ctrl-C to end it all.\n", kubectl, s.dir)
}
