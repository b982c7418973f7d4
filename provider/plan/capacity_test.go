package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
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
		{"no limit", &tunnel.Health{MaxMemory: -1, CPUs: 4}, NodeConfig{}, "1Gi", 4, false},
		{"the most", &tunnel.Health{MaxMemory: 64 << 30, CPUs: 256}, NodeConfig{}, "64Gi", 256, false},
		{"too much memory", &tunnel.Health{MaxMemory: 1 << 50, CPUs: 4}, NodeConfig{}, "64Gi", 4, true},
		{"too many CPUs", &tunnel.Health{MaxMemory: 1 << 30, CPUs: 65535}, NodeConfig{}, "1Gi", 256, true},
		{"as set", &tunnel.Health{MaxMemory: 3 << 30, CPUs: 9}, NodeConfig{MaxMemory: 2 << 30, MaxCPUs: 8}, "2Gi", 8, true},
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

// The scheduler reserves what pods request; a module that several ask for is there once.
func TestMemoryThatIsRequested(t *testing.T) {
	pod := func(change func(*Pod), requests ...string) Pod {
		p := podFor("p", "orders:1")
		p.Spec.Containers = append(p.Spec.Containers, podFor("q", "stock:2").Spec.Containers...)
		for i, r := range requests {
			if r != "" {
				p.Spec.Containers[i].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(r)}
			}
		}
		change(&p)
		return p
	}
	as := func(*Pod) {}
	orders, stock := tunnel.ModuleKey{Name: "orders", Version: "1"}, tunnel.ModuleKey{Name: "stock", Version: "2"}
	for _, c := range []struct {
		name string
		pods []Pod
		want map[tunnel.ModuleKey]int64
	}{
		{"none", nil, map[tunnel.ModuleKey]int64{}},
		{"each container", []Pod{pod(as, "1Ki", "2Ki")}, map[tunnel.ModuleKey]int64{orders: 1 << 10, stock: 2 << 10}},
		{"one requests nothing", []Pod{pod(as, "1Ki", "")}, map[tunnel.ModuleKey]int64{orders: 1 << 10, stock: 0}},
		{"two pods of a module", []Pod{pod(as, "3Ki", "2Ki"), pod(as, "1Ki", "4Ki")}, map[tunnel.ModuleKey]int64{orders: 1 << 10, stock: 2 << 10}},
		{"one is terminating", []Pod{pod(terminating, "1Ki", "2Ki")}, map[tunnel.ModuleKey]int64{orders: 1 << 10, stock: 2 << 10}},
		{"one is gone", []Pod{pod(gone, "1Ki", "2Ki")}, map[tunnel.ModuleKey]int64{}},
		{"one has failed", []Pod{pod(func(p *Pod) { p.Status.Phase = corev1.PodFailed }, "1Ki", "2Ki")}, map[tunnel.ModuleKey]int64{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, MemoryRequests(c.pods)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A full base is not chosen again for modules that request nothing, and does not flap.
func TestMemoryPressure(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		used  []int64 // MiB of 200, one health after the other
		limit int64   // MiB
		want  corev1.ConditionStatus
		why   string
	}{
		{"some is left", []int64{190}, 200, corev1.ConditionFalse, ReasonSufficientMetaspace},
		{"full", []int64{191}, 200, corev1.ConditionTrue, ReasonInsufficientMetaspace},
		{"full, then a little less", []int64{191, 181}, 200, corev1.ConditionTrue, ReasonInsufficientMetaspace},
		{"full, then less", []int64{191, 180}, 200, corev1.ConditionFalse, ReasonSufficientMetaspace},
		{"a little less, never full", []int64{185}, 200, corev1.ConditionFalse, ReasonSufficientMetaspace},
		{"no limit", []int64{5000}, -1, corev1.ConditionFalse, ReasonNotMeasured},
		{"full, then its limit is gone", []int64{191, 5000}, -1, corev1.ConditionFalse, ReasonNotMeasured},
		{"use not told", []int64{-1}, 200, corev1.ConditionFalse, ReasonNotMeasured},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := nodeInput()
			var node *corev1.Node
			for i, used := range c.used {
				limit := int64(200)
				if i == len(c.used)-1 {
					limit = c.limit
				}
				in.Health = &tunnel.Health{MaxMemory: max(limit*mib, -1), UsedMemory: max(used*mib, -1)}
				node = Node(in, node)
			}
			is := pressureOf(node)
			if is.Status != c.want || is.Reason != c.why {
				t.Errorf("it is %s, %s; want %s, %s", is.Status, is.Reason, c.want, c.why)
			}
		})
	}
}

// What the base said of its metaspace stays until it says more, and changes at the pace of a
// description.
func TestMemoryPressureIsTheBasesWord(t *testing.T) {
	in := nodeInput()
	in.Health = &tunnel.Health{MaxMemory: 100 << 20, UsedMemory: 99 << 20}
	full := Node(in, nil)
	in.Health = nil
	if is := pressureOf(Node(in, full)); is.Status != corev1.ConditionTrue {
		t.Errorf("nothing is told, and it is %s", is.Status)
	}
	in.Health = &tunnel.Health{MaxMemory: 100 << 20, UsedMemory: 99<<20 - 98<<20}
	less := Node(in, full)
	if SameDescription(full, less) {
		t.Error("it is no part of the description")
	}
	in.Undescribed = true
	if is := pressureOf(Node(in, full)); is.Status != corev1.ConditionTrue {
		t.Errorf("it is undescribed, and is %s", is.Status)
	}
}

func pressureOf(node *corev1.Node) corev1.NodeCondition {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeMemoryPressure {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// A LimitRange gives pods requests that a Node without disk could never meet.
func TestANodeShowsEphemeralStorage(t *testing.T) {
	in := nodeInput()
	in.Config = NodeConfig{}
	s := Node(in, nil).Status
	if s.Capacity.StorageEphemeral().Value() != 1<<40 || s.Allocatable.StorageEphemeral().Value() != 1<<40 {
		t.Errorf("it shows %s, %s", s.Capacity.StorageEphemeral(), s.Allocatable.StorageEphemeral())
	}
}
