// Package attacker plays those who may not speak for a base, and those who say too much:
// senders of heartbeats at any loopback address, an impostor of a base that keeps what it
// is sent, and a client of the broker.
package attacker
