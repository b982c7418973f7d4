//go:build peers

package peers

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"module-controller/e2e/world"
)

// TestPeers measures KWOK, then client-go alone, then ours with bases over MQTT, then with bases
// over HTTP. With -run TestPeers/ours$ there is no ratio, only our column.
func TestPeers(t *testing.T) {
	nodes := world.Setting(t, "PEERS_NODES", 1000, 1, strconv.Atoi)
	quiet := world.Setting(t, "PEERS_QUIET", time.Minute, time.Second, time.ParseDuration)
	began := time.Now()
	load := loadAverage(t)
	of := map[string]*figures{}
	for _, s := range []side{kwok, bare, ours, oursHTTP} {
		t.Run(s.name, func(t *testing.T) {
			c := world.StartCluster(t)
			of[s.name] = measure(c.New(t), c, s, nodes, quiet)
		})
	}
	for _, mine := range []side{ours, oursHTTP} {
		fmt.Print(table(nodes, of[kwok.name], of[bare.name], of[mine.name], mine.name))
	}
	fmt.Print("\n", circumstances(t, began, load, quiet), "\n")
}
