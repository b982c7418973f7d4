// Package mqtttunnel is the tunnel to bases through an MQTT 3.1.1 broker.
//
// One connection serves all bases. It is made anew, with a new client and an empty
// store, whenever it is lost: nothing that was not delivered is ever repeated, and
// nothing is ever retained. Discovery is by wildcard; each followed base has one
// filter more, subscribed in batches, and every acknowledgement is read.
//
// Not guaranteed: that a command which Do took arrives. The base's answer, or its
// next module list, tells.
package mqtttunnel
