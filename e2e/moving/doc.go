// Package moving moves a fleet from the real module-controller v2.2.0 to this controller and
// back, as docs/moving.md says. Beside that, v2.2.0 is stopped and started alone: what it does
// by itself is not laid to the move.
//
// The tests have the build tag moving, so that go test ./... does not run them: v2.2.0 is built
// of its source first, which is cloned from GitHub or from what THEIRS_SOURCE names. Its ports
// are fixed, so the tests run in a network of their own.
package moving
