// Package scaling says how many replicas a peer Deployment is to have: one for each Ready
// VNode that its pods may run on. It is pure: time is an argument, and nothing is read or
// written here.
//
// Which VNodes count is told by the scheduler's own rules: node selector, required node
// affinity, taints and tolerations. A VNode that was cordoned or tainted since, and still
// has one of the Deployment's pods, counts too: else a pod elsewhere would be taken away
// for it, for a Deployment cannot be told which pod to lose.
//
// Not guaranteed: that the pods are one a base. The pods' own anti-affinity or topology
// spread says that.
package scaling
