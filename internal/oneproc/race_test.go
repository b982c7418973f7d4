//go:build race

package oneproc

import (
	"runtime"
	"testing"
)

func TestOneProcessor(t *testing.T) {
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("tests run on %d processors", n)
	}
}
