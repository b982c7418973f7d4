package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/tunnel"
)

// A base that claims more than it is believed to have wins no more pods with it.
func TestCapacityIsClipped(t *testing.T) {
	for _, c := range []struct {
		name   string
		health *tunnel.Health
		config NodeConfig
		memory string
		cpus   int64
		told   bool
	}{
		{"nothing told", nil, NodeConfig{}, "1Gi", 8, false},
		{"no limit", &tunnel.Health{MaxMetaspace: -1, CPUs: 4}, NodeConfig{}, "1Gi", 4, false},
		{"the most", &tunnel.Health{MaxMetaspace: 64 << 30, CPUs: 256}, NodeConfig{}, "64Gi", 256, false},
		{"too much memory", &tunnel.Health{MaxMetaspace: 1 << 50, CPUs: 4}, NodeConfig{}, "64Gi", 4, true},
		{"too many CPUs", &tunnel.Health{MaxMetaspace: 1 << 30, CPUs: 65535}, NodeConfig{}, "1Gi", 256, true},
		{"as set", &tunnel.Health{MaxMetaspace: 3 << 30, CPUs: 9}, NodeConfig{MaxMemory: 2 << 30, MaxCPUs: 8}, "2Gi", 8, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := nodeInput()
			in.Health, in.Config = c.health, c.config
			s := Node(in, nil).Status
			for _, list := range []struct {
				memory *resource.Quantity
				cpus   int64
			}{{s.Capacity.Memory(), s.Capacity.Cpu().Value()}, {s.Allocatable.Memory(), s.Allocatable.Cpu().Value()}} {
				if want := resource.MustParse(c.memory); list.memory.Cmp(want) != 0 || list.cpus != c.cpus {
					t.Errorf("it shows %s, %d CPUs; want %s, %d", list.memory, list.cpus, c.memory, c.cpus)
				}
			}
			if told := c.config.Complete().Excess(c.health); (told != "") != c.told || c.told && !strings.Contains(told, "Raise") {
				t.Errorf("it is told %q", told)
			}
		})
	}
}
