//go:build !race

package election

// fewer divides how many seeds and bases there are: here all are.
const fewer = 1
