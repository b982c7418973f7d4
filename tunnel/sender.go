package tunnel

// Sender is what a tunnel proved of who sent a heartbeat. It never comes from what the
// message says of itself. The zero value proves nothing: anybody may have sent it.
type Sender struct {
	// Bound: the identity that it speaks for belongs to the sender. Over MQTT the broker
	// let it publish on the topics of that identity; over HTTP see package httptunnel.
	Bound bool
	// Workload names the one workload that sent it: two heartbeats with one Workload come
	// from one place, and one with another Workload from another. Empty where the sender
	// is known only by its address or by what the broker permits it.
	Workload string
}
