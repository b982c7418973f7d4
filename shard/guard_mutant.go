//go:build mutant

package shard

// mutant names the guard that is taken out of this build; set with
// -ldflags '-X module-controller/shard.mutant=NAME'.
var mutant string
