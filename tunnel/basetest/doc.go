// Package basetest plays bases as real ones behave, over MQTT and HTTP, and the
// brokers between them and a controller. It is written apart from the codec that it
// tests, from recorded traffic of real bases; testdata has that traffic, and a test
// asks the fake the same and compares.
//
// It does not import package testing: cmd/basesim is built of it.
package basetest
