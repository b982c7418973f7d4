//go:build browser

package browser

import (
	"flag"
	"testing"

	"module-controller/e2e/world"
)

var cluster world.Cluster

// shots is the folder that gets pictures of the page; empty for none.
var shots = flag.String("shots", "", "folder that gets fleet-desktop.png and fleet-phone.png")

func TestMain(m *testing.M) { cluster.Main(m) }
