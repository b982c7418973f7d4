//go:build !race

package election

// fewer is by what seeds and bases are divided: by nothing.
const fewer = 1
