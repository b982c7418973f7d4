package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// given are the ports that FreePort gave.
var given sync.Map

// FreePort finds a loopback port that nobody listens on, below those that the
// system gives to outgoing connections: a server that is down for a while gets its
// port back. It gives none twice, so nobody else takes it meanwhile.
func FreePort() (int, error) {
	const low, high, tries = 10000, 32000, 50
	var last error
	for range tries {
		port := low + rand.IntN(high-low)
		if _, before := given.LoadOrStore(port, true); before {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}

// FreePorts finds n of them in a row, and gives the first.
func FreePorts(n int) (int, error) {
	const tries = 50
	for range tries {
		first, err := FreePort()
		if err != nil {
			return 0, err
		}
		if rowFree(first+1, first+n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("find %d free ports in a row: none in %d tries", n, tries)
}

// rowFree says whether the ports from one to before another are free, and takes them.
func rowFree(from, to int) bool {
	for port := from; port < to; port++ {
		if _, before := given.LoadOrStore(port, true); before {
			return false
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return false
		}
		_ = l.Close() // nobody used it
	}
	return true
}
