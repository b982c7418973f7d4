package network

import (
	"net/netip"
	"os"
)

// Address is that of the network which is not a loopback one. It is reserved for examples, so
// nobody has it.
var Address = netip.AddrFrom4([4]byte{198, 51, 100, 1})

// insideVariable tells a test binary that it was started in the network.
const insideVariable = "MODULE_CONTROLLER_E2E_NETWORK"

func inside() bool { return os.Getenv(insideVariable) != "" }
