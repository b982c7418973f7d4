package probes

import (
	"testing"

	"go.uber.org/goleak"

	_ "module-controller/internal/oneproc" // tests in bubbles
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
