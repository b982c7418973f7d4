// Package mqtttunnel is the tunnel to bases through an MQTT 3.1.1 broker.
//
// One connection serves all bases. When it is lost, a new one is made with a new client
// and an empty store. Discovery is by wildcard; each followed base has one more filter,
// subscribed in batches, and every acknowledgement is checked. Messages are received by
// one goroutine and decoded by a few, for each base in turn.
//
// Guaranteed: nothing is ever retained, and nothing that was not delivered is ever
// repeated. A connection that was given up sends nothing more. No message takes more
// memory than Config.MaxPacket, and what one base sends delays no other's by more than
// one message. That another replica's connection is lost is believed of nobody but the
// broker.
//
// Not guaranteed: that a command which Do took arrives. The base's answer, or its next
// module list, shows it. That a message on a base's topics is that base's: the broker's
// ACL sees to it, and nobody here can find out whether there is one. That a broker which
// delivers huge messages delivers others in time.
package mqtttunnel
