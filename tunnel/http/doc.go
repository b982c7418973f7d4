// Package httptunnel is the tunnel to bases that announce themselves by HTTP
// heartbeats and accept commands on arklet's HTTP server.
//
// Guaranteed: commands to different bases share nothing but a limit on requests in
// flight, so a base that never answers delays no other. A request costs a goroutine
// while it is in flight; a base costs none. Installs are asynchronous if the base can
// report their progress: it answers at once and is polled.
//
// Not guaranteed: that the sender of a heartbeat is the base that it names. A token
// file and address ranges limit who is believed.
package httptunnel
