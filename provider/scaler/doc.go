// Package scaler gives each peer Deployment as many replicas as there are Ready VNodes that
// its pods may run on, as package scaling decides. It watches those Deployments, and sets
// their replicas through the scale subresource.
//
// One member does so for each Deployment. That two may for a while does no harm: they count
// the same Nodes by the same rule, and a write is refused unless the Deployment is the one
// that was counted for.
//
// Guaranteed: nothing is scaled before all Nodes and pods were seen, nor a Deployment that is
// let alone. Not guaranteed: that its sight is the newest.
package scaler
