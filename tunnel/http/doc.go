// Package httptunnel is the tunnel to bases that announce themselves by HTTP
// heartbeats and take commands on arklet's own HTTP server.
//
// Commands of different bases share nothing but a bound on requests under way, so
// a base that never answers delays no other. A request costs a goroutine while it
// is under way; a base costs none. Installs are asynchronous where the base can
// tell how they go: it then answers at once and is asked later.
package httptunnel
