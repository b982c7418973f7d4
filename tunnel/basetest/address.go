package basetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreeAddress finds a port of a host on which nobody listens, and gives host:port. The port
// is below those that the system gives to outgoing connections and to listeners on port 0:
// who stops listening there, or has yet to begin, finds it free.
func FreeAddress(host string) (string, error) {
	const low, high, tries = 10_000, 32_000, 50
	var last error
	for range tries {
		address := net.JoinHostPort(host, strconv.Itoa(low+rand.IntN(high-low)))
		l, err := net.Listen("tcp", address) //nolint:noctx // it is there at once
		if err != nil {
			last = err
			continue
		}
		return address, l.Close()
	}
	return "", fmt.Errorf("find a free port: %w", last)
}
