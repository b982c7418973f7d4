//go:build scale

package scale

import (
	"os"
	"strconv"
	"testing"

	"module-controller/e2e/world"
)

// concurrency is the controller's own number of workers.
const concurrency = 16

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

// scaleOf is how many bases are measured: def, or as many as SCALE_BASES says.
func scaleOf(t *testing.T, def int) int {
	t.Helper()
	v := os.Getenv("SCALE_BASES")
	if v == "" {
		return def
	}
	bases, err := strconv.Atoi(v)
	if err != nil || bases < 3 {
		t.Fatalf("SCALE_BASES=%q: want a number of bases, 3 or more", v)
	}
	return bases
}
