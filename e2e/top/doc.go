// Package top has metrics-server, unmodified, ask VNodes what they use, so that kubectl top
// tells it: of simulated bases and of a real one.
//
// All of it runs in a network of its own (e2e/network), where replicas serve the kubelet's API
// at an address that is not a loopback one.
//
// The tests have the build tag top, so that go test ./... does not run them: building
// metrics-server from its module takes minutes, and the real base needs a JDK and Maven.
package top
