package fired

import (
	"flag"
	"os"
	"testing"

	"module-controller/e2e/world"
)

var cluster world.Cluster

// atOnce is how many tests run beside each other: they wait most of the time.
const atOnce = "7"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	cluster.Main(m)
}
