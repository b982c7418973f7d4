//go:build scale

package scale

import (
	"strconv"
	"testing"
	"time"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// concurrency is the controller's own number of workers.
const concurrency = 16

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

// scaleOf is how many bases are measured: def, or as many as SCALE_BASES says.
func scaleOf(t *testing.T, def int) int {
	t.Helper()
	return world.Setting(t, "SCALE_BASES", def, 3, strconv.Atoi)
}

// podsASecond is how many pods come a second: def, or as many as SCALE_PODS says.
func podsASecond(t *testing.T, def int) int {
	t.Helper()
	return world.Setting(t, "SCALE_PODS", def, 1, strconv.Atoi)
}

// lasting is how long something is measured: def, or as long as SCALE_FOR says.
func lasting(t *testing.T, def time.Duration) time.Duration {
	t.Helper()
	return world.Setting(t, "SCALE_FOR", def, time.Second, time.ParseDuration)
}

// broker is a kind of broker as users have it, where there is one.
func broker() string {
	kinds := harness.Brokers()
	return kinds[len(kinds)-1]
}
