// Package mutants takes guards out of the controller that only real connections need, and
// sees that package history notices. What the simulation of package election can notice,
// make mutants shows; make chaos-mutants runs both.
//
// A mutant is a patch in the folder mutants of the repository. The test has the build tag
// chaos, so that go test ./... does not run it.
package mutants
