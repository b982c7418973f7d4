//go:build !mutant

package shard

// mutant names the guard that is taken out of this build: none. Builds with the tag
// mutant show that the tests notice each one that is missing.
const mutant = ""
