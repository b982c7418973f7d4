package plan

import (
	"fmt"
	"testing"
)

// BenchmarkPods plans for ten pods that run, of which nothing is new: that is what most looks
// at a base find.
func BenchmarkPods(b *testing.B) {
	in := onBase()
	for i := range 10 {
		word := fmt.Sprintf("m%d:1", i)
		pod := podFor(word, word)
		pod.Generation = 1
		in.Seen.Modules = append(in.Seen.Modules, listed(word+" activated")...)
		in = in.with(pod)
	}
	out := Modules(in)
	for i := range in.Pods {
		in.Pods[i].Status = statusIn(out, in.Pods[i].UID).Status
	}
	b.ReportAllocs()
	for b.Loop() {
		Modules(in)
	}
}
