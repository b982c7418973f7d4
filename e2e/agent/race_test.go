//go:build race

package agent

import "runtime"

// Under the race detector of Go 1.26.8, timers of one bubble may crash the process where two
// threads run them.
func init() { runtime.GOMAXPROCS(1) }
