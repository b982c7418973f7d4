package kubelet

import (
	"net/netip"
	"slices"
	"testing"

	"module-controller/provider/plan"
)

// Each Node has a port of its own for as long as it is served. One that is given back is the
// last to be taken again, and where all are taken a Node has none.
func TestEachNodeHasItsPort(t *testing.T) {
	p := NewPorts(netip.MustParseAddr("10.0.0.7"), 10250, 3)
	var short []string
	p.tell(func(node string) { short = append(short, node) })
	at := func(port int32) plan.Endpoint { return plan.Endpoint{Host: "10.0.0.7", Port: port} }
	for _, c := range []struct {
		take, forget string
		want         plan.Endpoint
	}{
		{take: "a", want: at(10250)},
		{take: "b", want: at(10251)},
		{take: "a", want: at(10250)},
		{forget: "a"},
		{forget: "a"}, // again
		{forget: "nobody"},
		{take: "c", want: at(10252)},
		{take: "d", want: at(10250)},
		{take: "e"},
		{forget: "c"},
		{forget: "b"},
		{take: "e", want: at(10252)},
		{take: "b", want: at(10251)},
	} {
		if c.forget != "" {
			p.Forget(c.forget)
			continue
		}
		if got := p.At(c.take); got != c.want {
			t.Errorf("%s is at %v, want %v", c.take, got, c.want)
		}
	}
	for port, want := range map[int]string{10250: "d", 10251: "b", 10252: "e", 10253: "", 0: ""} {
		if got := p.node(port); got != want {
			t.Errorf("port %d is of %q, want %q", port, got, want)
		}
	}
	if !slices.Equal(short, []string{"e"}) {
		t.Errorf("told is that none was left for %q, want e", short)
	}
	if p.Taken() != 3 {
		t.Errorf("%d are taken", p.Taken())
	}
}
