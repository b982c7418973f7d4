//go:build race

package election

// fewer divides how many seeds and bases there are under the race detector, which makes a test
// seven times as long. It finds races by what happens before what, in code that a few seeds
// run as well as many. What only some seeds violate is found without it: make test-unit runs
// this package in both ways.
const fewer = 4
