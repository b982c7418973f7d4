// Package mqtttunnel is the tunnel to bases through an MQTT 3.1.1 broker.
//
// One connection serves all bases. When it is lost, a new one is made with a new client
// and an empty store. Discovery is by wildcard; each followed base has one more filter,
// subscribed in batches, and every acknowledgement is checked.
//
// Guaranteed: nothing is ever retained, and nothing that was not delivered is ever
// repeated. A connection that was given up sends nothing more.
//
// Not guaranteed: that a command which Do took arrives. The base's answer, or its next
// module list, shows it.
package mqtttunnel
