// Package chaos has faults happen to three replicas, to what is around them and to bases,
// while modules are installed, replaced and uninstalled all the time. Package history
// finds what broke an invariant meanwhile.
//
// The test has the build tag chaos, so that go test ./... does not run it: it lasts as
// long as CHAOS_FOR says. The faults themselves are also for package mutants.
package chaos
