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
		if got := p.At(c.take, plan.Endpoint{}, nobody); got != c.want {
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

// A Node has the port that it shows, of this host and free, whichever Node asks first, as all do
// when a replica starts again at its address; another one has the next that is free.
func TestANodeKeepsThePortThatItShows(t *testing.T) {
	at := func(port int32) plan.Endpoint { return plan.Endpoint{Host: "10.0.0.7", Port: port} }
	p := NewPorts(netip.MustParseAddr("10.0.0.7"), 10250, 5)
	for _, c := range []struct {
		node        string
		shown, want plan.Endpoint
	}{
		{"b", at(10251), at(10251)},
		{"c", at(10253), at(10253)},
		{"taken", at(10251), at(10250)},
		{"elsewhere", plan.Endpoint{Host: "10.0.0.8", Port: 10254}, at(10252)},
		{"out of range", at(1), at(10254)},
		{"b", at(10252), at(10251)}, // it has one
		{"none is left", at(10253), plan.Endpoint{}},
	} {
		if got := p.At(c.node, c.shown, nobody); got != c.want {
			t.Errorf("%s, which shows %v, is at %v, want %v", c.node, c.shown, got, c.want)
		}
	}
}

// No Node has a port that another one still shows at this host, although nobody is served there
// yet; where no other is left it has none, which is told, until that one shows it no more.
func TestAPortThatAnotherNodeShowsIsNotTaken(t *testing.T) {
	at := func(port int32) plan.Endpoint { return plan.Endpoint{Host: "10.0.0.7", Port: port} }
	shown := map[string]plan.Endpoint{
		"a": at(10251), "b": at(10250), "twin": at(10252), "other twin": at(10252), "elsewhere": {Host: "10.0.0.8", Port: 10253},
	}
	p := NewPorts(netip.MustParseAddr("10.0.0.7"), 10250, 5)
	var short []string
	p.tell(func(node string) { short = append(short, node) })
	takes := func(node string, want plan.Endpoint) {
		t.Helper()
		others := func(at plan.Endpoint) bool {
			for other, its := range shown {
				if other != node && its == at {
					return true
				}
			}
			return false
		}
		if got := p.At(node, shown[node], others); got != want {
			t.Errorf("%s is at %v, want %v", node, got, want)
		}
	}
	takes("new", at(10253))
	takes("twin", at(10254))
	takes("newer", plan.Endpoint{})
	takes("a", at(10251))
	takes("new", at(10253))
	shown["b"] = plan.Endpoint{Host: "10.0.0.8", Port: 10250} // its owner is another replica
	takes("newer", at(10250))
	takes("b", plan.Endpoint{})
	delete(shown, "twin") // it is deleted, and then so is the other
	takes("b", plan.Endpoint{})
	delete(shown, "other twin")
	takes("b", at(10252))
	if want := []string{"newer", "b", "b"}; !slices.Equal(short, want) {
		t.Errorf("told is that none was left for %q, want %q", short, want)
	}
}
