// Package nodeproxy has the API server proxy to the kubelet's API of VNodes, of a simulated base
// and of a real one: /api/v1/nodes/NODE/proxy.
//
// All of it runs in a network of its own (e2e/network), where replicas serve that API at an
// address that is not a loopback one, to which the API server would not proxy.
//
// The tests have the build tag java, so that go test ./... does not run them: the real base
// needs a JDK and Maven.
package nodeproxy
