package plan

import (
	"fmt"
	"testing"

	"module-controller/tunnel"
)

// crowded is the input of a base that lists so many modules which nobody asked for.
func crowded(modules int) Input {
	in := onBase()
	for i := range modules {
		in.Seen.Modules = append(in.Seen.Modules, tunnel.Module{ModuleKey: module(fmt.Sprintf("m%04d:1", i)), State: tunnel.Activated})
	}
	return in
}

// BenchmarkModules plans for bases that list more and more: the cost of a module is to stay
// about the same.
func BenchmarkModules(b *testing.B) {
	for _, n := range []int{100, 1000, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := crowded(n)
			b.ReportAllocs()
			for b.Loop() {
				Modules(in)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/module")
		})
	}
}
