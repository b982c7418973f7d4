package kubelet

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"module-controller/provider/plan"
)

// Ports are those at which the kubelet's API is served, and the Nodes that have them.
type Ports struct {
	host string
	all  []int

	mu sync.Mutex
	// mu guards what follows
	byNode map[string]int
	byPort map[int]string
	// free are the others, the one first that is free for the longest: who still asks for the
	// Node that had it is not to be answered for another one.
	free []int
	// short is told of a Node for which none is left; nil: nobody is.
	short func(node string)
}

// NewPorts makes n Ports, one at least, from first on, of a host's IP address. None of them is taken.
func NewPorts(host netip.Addr, first, n int) *Ports {
	p := &Ports{host: host.String(), byNode: map[string]int{}, byPort: map[int]string{}}
	for port := first; port < first+n; port++ {
		p.all = append(p.all, port)
	}
	p.free = append(p.free, p.all...)
	return p
}

// At gives the endpoint of a Node, the same until Forget: the one that the Node shows where that
// is free, so that a replica which has just started moves nobody from port to port. One that
// another Node shows, as others says at once, is not free: who asks for that one would be answered
// for this one. It is zero where no port is left, which is told.
func (p *Ports) At(node string, shown plan.Endpoint, others func(plan.Endpoint) bool) plan.Endpoint {
	port, short := p.take(node, shown, others)
	switch {
	case port > 0:
		return p.endpoint(port)
	case short != nil:
		short(node)
	}
	return plan.Endpoint{}
}

func (p *Ports) endpoint(port int) plan.Endpoint {
	return plan.Endpoint{Host: p.host, Port: int32(port)}
}

// take gives the port of a Node, and takes one if it has none; 0 where none is left, and who is
// to be told.
func (p *Ports) take(node string, shown plan.Endpoint, others func(plan.Endpoint) bool) (port int, short func(string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port, has := p.byNode[node]; has {
		return port, nil
	}
	next := p.next(shown, others)
	if next < 0 {
		return 0, p.short
	}
	port = p.free[next]
	p.free = slices.Delete(p.free, next, next+1)
	p.byNode[node], p.byPort[port] = port, node
	return port, nil
}

// next gives where in free the port is that a Node which shows an endpoint takes; -1 where none
// is left. It needs mu.
func (p *Ports) next(shown plan.Endpoint, others func(plan.Endpoint) bool) int {
	keeps := slices.IndexFunc(p.free, func(port int) bool { return p.endpoint(port) == shown && !others(shown) })
	if keeps >= 0 {
		return keeps
	}
	return slices.IndexFunc(p.free, func(port int) bool { return !others(p.endpoint(port)) })
}

// tell has a function called with each Node for which no port is left.
func (p *Ports) tell(short func(node string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.short = short
}

// Forget takes the port of a Node back, if it has one.
func (p *Ports) Forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	port, has := p.byNode[node]
	if !has {
		return
	}
	delete(p.byNode, node)
	delete(p.byPort, port)
	p.free = append(p.free, port)
}

// node gives the Node that has a port; empty for none.
func (p *Ports) node(port int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byPort[port]
}

// Taken is how many Nodes have a port.
func (p *Ports) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byNode)
}

// addresses are where they are listened on.
func (p *Ports) addresses() (all []string) {
	for _, port := range p.all {
		all = append(all, net.JoinHostPort(p.host, strconv.Itoa(port)))
	}
	return all
}
