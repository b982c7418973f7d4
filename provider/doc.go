// Package provider makes each base a Kubernetes Node and each module a Pod on it.
// It is the only room that writes Nodes and Pods.
//
// What bases say and what users want meet in one keyed queue of bases: a worker
// takes a base, looks at everything that is known of it, asks the pure package
// plan what should be, and does it. A key is never worked on twice at once, so a
// base's state needs no lock beyond its inbox, where tunnels record what they hear.
//
// Guaranteed: no command and no write for a base whose Claim this replica does
// not hold; a pod is Running only when the base's own module list shows its very
// version serving; nothing is uninstalled on a list that was not read in this
// process's life. Not guaranteed: that an Event reaches its reader, or the order
// of status writes of different pods.
package provider
