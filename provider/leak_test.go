package provider

import (
	"testing"

	"go.uber.org/goleak"

	_ "module-controller/internal/oneproc" // tests in bubbles
)

// OpenCensus, which virtual-kubelet imports, begins a goroutine when the program does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}
