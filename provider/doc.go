// Package provider makes each base a Kubernetes Node and each module a Pod on it. It is
// the shell: it decides nothing about a base. A worker takes a base from one keyed queue,
// observes everything that is known of it, asks package lifecycle what it needs now
// (which asks package plan about modules), and performs the answer from top to bottom.
//
// A key is never worked on twice at once, so a base needs no lock beyond its inbox, where
// tunnels record what they hear. Package pods knows virtual-kubelet and writes Pods; this
// package writes Nodes.
//
// Guaranteed: no command and no write for a base whose Claim this replica does not hold;
// a pod is Running only once the base reports that exact version as serving; nothing is
// uninstalled on a list that was not read in this process's session. Not guaranteed: that
// an Event reaches its reader, or the order of status writes of different pods.
package provider
