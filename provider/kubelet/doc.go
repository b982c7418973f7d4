// Package kubelet serves the kubelet's API of the Nodes that this replica owns: the logs of
// pods, questions to bases, the pods of a Node, and what the base uses.
//
// The API names no Node in a request for what is a Node's, such as /stats/summary. So each
// Node has a port of its own, which the Node tells beside this replica's address. A Node that
// another replica owns from now on names that one, so no request is passed on. Until then its
// port here serves no other Node.
//
// Guaranteed: nothing is answered to who has not proved who he is, by a client certificate or
// a token, and whom the API server's rules do not permit it, as with a kubelet. No log is read
// but of the Pod that a base was proved to run in, with this replica's own rights. Nothing that
// is asked of a base changes it.
//
// Not guaranteed: that an answer is the newest that the base could give; for a moment after a
// Node moved its old port answers that it serves none.
//
// Ports may be used from any goroutine; Run is called once.
package kubelet
