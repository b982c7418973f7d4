package world

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCountsOfAServer(t *testing.T) {
	const text = `# HELP requests_total what
# TYPE requests_total counter
requests_total{code="200",resource="pods",verb="LIST"} 3
requests_total{code="410",resource="pods",verb="LIST"} 1
requests_total{code="200",resource="nodes",verb="PATCH"} 2e+06
requests_total_sum{resource="pods",verb="LIST"} 7
`
	counts, err := countsOf([]byte(text), "requests_total", []string{"verb", "resource"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Counts{"LIST pods": 4, "PATCH nodes": 2e6}, counts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Counts{"LIST pods": 3}, counts.Since(Counts{"LIST pods": 1, "PATCH nodes": 2e6})); diff != "" {
		t.Error(diff)
	}
	if n := counts.Sum([]string{"LIST", "PATCH"}, []string{"pods"}); n != 4 {
		t.Errorf("sum %v, want 4", n)
	}
}
