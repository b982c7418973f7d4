// Package world is the fixture of the end-to-end tests: it starts the product around a
// test, and reads what the API server and the simulated bases show.
//
// A Cluster is what the tests of one package share: a control plane, the product's
// binaries and a folder for logs. A World is what one test has for itself: a namespace,
// a broker, a fleet of simulated bases and replicas of the controller. All objects of a
// World carry its Env, which is its namespace, the environment of its bases and the
// suffix of its Nodes' names. A Recorder watches a World and hands what it saw to
// package history, which knows the invariants.
//
// A test package has one Cluster, and each of its tests a World:
//
//	var cluster world.Cluster
//
//	func TestMain(m *testing.M) { cluster.Main(m) }
//
//	func TestANode(t *testing.T) {
//		w := cluster.New(t).WithBroker().WithFleet(1).WithController()
//		w.AwaitNodesReady(1)
//	}
//
// It guarantees:
//   - With… starts something and returns when it is ready; Await… waits until something
//     is so; whatever is not so within its time fails the test at once. Check… fails the
//     test at once or returns an error, and waits for nothing;
//   - what a World started is stopped when its test ends, and its objects are deleted;
//   - a controller that logged an error fails its test;
//   - Worlds may run beside each other: each has an installation of the product, that is,
//     a namespace of membership Leases with the manifests' rights, and networks for its
//     bases, that no other has at a time. The first that is free is the manifests' own,
//     module-controller, which so a World has that is alone.
//
// It does not guarantee isolation between Worlds: they share the control plane, its Nodes
// and two processors. A test that disturbs those, or asserts a time that another World's
// load would break, must not run in parallel.
//
// Methods that may fail the test are for the test's own goroutine; the others may be
// called from any.
package world
