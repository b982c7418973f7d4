//go:build race

package oneproc

import "runtime"

// An init comes before the flags of a test are read, so -cpu still has the last word.
func init() { runtime.GOMAXPROCS(1) }
