// Package peers measures the product beside KWOK, the controller of Nodes that run nothing,
// in one run: the same work, one after the other, each on a control plane of its own that was
// just started. It prints a table with both, their ratios and the goals.
//
// What is the same: the machine, the programs of the control plane and their flags, the
// number of Nodes, the pods to the last field but the Node's name, who creates and deletes
// them and how many at a time, and who watches. What is not: a Node of ours is a simulated
// base behind an MQTT broker, mosquitto, and a pod is a module that it installs in 20 ms and
// lists as long as it serves; KWOK writes that it is so. KWOK runs as its own manifests run
// it: with their configuration, roles, flow schema, stages (fast Nodes and pods) and real
// Node Leases. Both run and are ready before there is a Node; then clients create all of
// KWOK's, and all of our bases come up. Ours is measured once more with bases that speak HTTP,
// whose answers are asked for over a connection each, as a real base has it.
//
// Between them client-go alone does the least that both must do (see command bare): what no
// controller can be faster than, on this machine.
//
// A goal that is missed is told and fails nothing. What fails is what was not measured, a Node
// or a pod that does not come to be Ready or gone, and a module of ours that was not installed
// and uninstalled once.
//
// The test has the build tag peers, so that go test ./... does not run it: it takes a
// quarter of an hour at 1,000 Nodes and wants the machine for itself. PEERS_NODES changes how many Nodes
// there are, PEERS_QUIET how long the quiet time is.
package peers
