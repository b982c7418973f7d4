// Package network runs the tests of a package in a network of their own, where servers may
// listen at an address that is not a loopback one, and nobody outside reaches them. The API
// server proxies to no loopback address (/api/v1/nodes/NODE/proxy).
//
// The test binary starts itself again in a new network namespace of Linux, and gives that
// address to the loopback interface there. The namespace ends with the last process in it: the
// machine's own network stays as it was, and nothing is left behind. What has to be fetched is
// fetched before, for that network leads nowhere.
package network
