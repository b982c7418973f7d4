package events

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
)

// entry is an Event that waits to be written.
type entry struct {
	event *corev1.Event
	// as is how it is to be written, once that was decided; nil before.
	as    *record.EventCorrelateResult
	tries int
}

const (
	// maxOfNode is how many Events of one Node may wait: each pod of a large base tells
	// that it was installed.
	maxOfNode = 2048
	// maxWaiting is how many may wait in all; at 1 KB each they are 16 MB.
	maxWaiting = 16384
)

// backlog has the Events that wait, by Node, each Node's in their order.
type backlog struct {
	byNode map[string][]*entry // no Node without Events
	total  int
}

// add takes an Event in, and gives how many are lost for it. Where too many wait, the Node
// with the most loses its last one.
func (b *backlog) add(node string, e *entry) (lost int) {
	if len(b.byNode[node]) >= maxOfNode {
		return 1
	}
	b.byNode[node] = append(b.byNode[node], e)
	b.total++
	if b.total <= maxWaiting {
		return 0
	}
	most := node
	for other, entries := range b.byNode {
		if len(entries) > len(b.byNode[most]) {
			most = other
		}
	}
	entries := b.byNode[most]
	entries[len(entries)-1] = nil
	b.set(most, entries[:len(entries)-1])
	b.total--
	return 1
}

// take takes the first Event of a Node; nil for none.
func (b *backlog) take(node string) *entry {
	entries := b.byNode[node]
	if len(entries) == 0 {
		return nil
	}
	e := entries[0]
	entries[0] = nil
	b.set(node, entries[1:])
	b.total--
	return e
}

// putBack makes an Event that was taken the first of its Node again.
func (b *backlog) putBack(node string, e *entry) {
	b.byNode[node] = append([]*entry{e}, b.byNode[node]...)
	b.total++
}

func (b *backlog) set(node string, entries []*entry) {
	if len(entries) == 0 {
		delete(b.byNode, node)
		return
	}
	b.byNode[node] = entries
}
