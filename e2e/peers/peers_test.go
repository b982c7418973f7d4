//go:build peers

package peers

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"module-controller/e2e/world"
)

// TestPeers measures KWOK, then ours. With -run TestPeers/ours there is no table, only our
// column of it.
func TestPeers(t *testing.T) {
	nodes, quiet := setting(t, "PEERS_NODES", 1000, strconv.Atoi), setting(t, "PEERS_QUIET", time.Minute, time.ParseDuration)
	began := time.Now()
	load := loadAverage(t)
	of := map[string]*figures{}
	for _, s := range []side{kwok, ours} {
		t.Run(s.name, func(t *testing.T) {
			c := world.StartCluster(t)
			of[s.name] = measure(c.New(t), c, s, nodes, quiet)
		})
	}
	fmt.Print(table(nodes, of), "\n", circumstances(t, began, load, quiet), "\n")
}

// setting reads an environment variable, and gives def where there is none.
func setting[T int | time.Duration](t *testing.T, name string, def T, parse func(string) (T, error)) T {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	is, err := parse(v)
	if err != nil || is <= 0 {
		t.Fatalf("%s=%q: want a number above 0", name, v)
	}
	return is
}
