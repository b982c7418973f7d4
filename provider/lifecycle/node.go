package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// nodeCopy is what this process knows of the base's Node.
type nodeCopy struct {
	// written is the Node as this process wrote it last, or as the cache has it since;
	// nil until this process writes it.
	written *corev1.Node
	// gone is the one that is known to be deleted; empty for none. The cache may have it
	// for a while.
	gone types.UID
	// touched is when its status was last written; zero when unknown.
	touched time.Time
	// notReady is the reason that the Node shows, empty when it is Ready.
	notReady string
	// pace bounds how often the Node is described anew. held: a description waits for it.
	// describes: what is to be written now is one.
	pace            pace
	held, describes bool
	// settled is what the Node, as it is, was last found to follow from: while that holds,
	// nothing differs. The zero value for never, and while a description waits.
	settled cause
	// untold are Events on a Node that is not there yet.
	untold []plan.Event
	// excess is what was told of a capacity that is more than a base is believed to have.
	excess string
}

// healthPatience is how long a new base's Node waits, from the base's first answer on, for
// its health: with its true capacity from the start, the scheduler is not misled.
const healthPatience = time.Second

// lost forgets the Node that was deleted by somebody, or for the base before.
func (n *nodeCopy) lost(uid types.UID) {
	if uid == "" {
		return
	}
	n.gone = uid
	if n.written != nil && n.written.UID == uid {
		n.written = nil
	}
}

// there gives the Node that the cache has, unless it is known to be deleted: what it says
// is not of this base.
func (n *nodeCopy) there(cached *corev1.Node) *corev1.Node {
	switch {
	case cached == nil, n.gone != "" && cached.UID == n.gone:
		return nil
	}
	return cached
}

// catchUp gives the newer of what was written last and what the cache has: the cache may
// lag behind our own writes. Once it has caught up, one copy is enough.
func (n *nodeCopy) catchUp(cached *corev1.Node) *corev1.Node {
	if n.written == nil {
		return cached
	}
	n.written = newest(n.written, cached)
	return n.written
}

func newest(written, cached *corev1.Node) *corev1.Node {
	if cached == nil {
		return written
	}
	order, err := resourceversion.CompareResourceVersion(written.ResourceVersion, cached.ResourceVersion)
	switch {
	case err != nil: // not comparable: what the API server says counts
		return cached
	case order > 0:
		return written
	}
	return cached
}

// wantNode gives the Node as it is and as it should be; want is nil when nothing is to be
// written.
func (b *Base) wantNode(in Facts, age Age) (current, want *corev1.Node) {
	current = b.node.catchUp(in.Node)
	if current == nil {
		if b.waitsToBeNew(in) || b.tooEarly(in.Now, age) {
			return nil, nil
		}
	} else if b.node.unknown() {
		b.node.touched = in.Now // adopted: whoever served it wrote it lately
	}
	input := b.nodeInput(in, age, current)
	because := causeOf(input, current)
	if current != nil && because == b.node.settled {
		b.node.held, b.node.describes = false, false
		return current, nil
	}
	b.node.settled = cause{}
	want = b.describe(input, current)
	if current != nil && equality.Semantic.DeepEqual(current, want) {
		if !b.node.held {
			b.node.settled = because
		}
		return current, nil
	}
	return current, want
}

// cause is what a Node follows from, to be compared: most Turns of a base change nothing
// of it, and to make a Node and compare it costs more than all else in one.
type cause struct {
	current *corev1.Node
	input   plan.NodeInput // without times and what Health points at
	health  tunnel.Health  // without what a Node does not show
	told    bool
}

func causeOf(in plan.NodeInput, current *corev1.Node) cause {
	c := cause{current: current, input: in, told: in.Health != nil}
	if c.told {
		c.health = shown(*in.Health)
	}
	c.input.Now, c.input.Health, c.input.Config = time.Time{}, nil, plan.NodeConfig{}
	c.input.Heartbeat.Received, c.input.Heartbeat.Stamp = time.Time{}, time.Time{}
	return c
}

func (b *Base) nodeInput(in Facts, age Age, current *corev1.Node) plan.NodeInput {
	return plan.NodeInput{
		Now: in.Now, Name: b.name, Heartbeat: b.about.heartbeat, Health: b.weighed(current), NotReady: age.NotReady, Message: age.Message,
		Loaded: b.seen.metaspace.requested(in.Pods), Noted: in.Noted != nil, Place: in.Place, ServerVersion: in.ServerVersion, Kubelet: in.Kubelet,
		Touch: in.Now.Sub(b.node.touched) >= b.cfg.NodeEvery, Config: b.cfg.Node,
	}
}

// describe gives the Node as it should be. What the base says of itself is written at the
// pace that one base may have: one whose description changes with each word would keep the
// API server busy for all. Readiness waits for nothing.
func (b *Base) describe(in plan.NodeInput, current *corev1.Node) *corev1.Node {
	want := plan.Node(in, current)
	b.node.held, b.node.describes = false, false
	if current == nil || plan.SameDescription(current, want) {
		return want
	}
	if b.node.pace.ready(in.Now) {
		b.node.describes = true
		return want
	}
	b.node.held, in.Undescribed = true, true
	return plan.Node(in, current)
}

// weighed gives the health by which a Node is described: none while it is not known which
// modules it counts, where the Node shows what was known before.
func (b *Base) weighed(current *corev1.Node) *tunnel.Health {
	if current != nil && b.seen.metaspace.present == nil {
		return nil
	}
	return b.seen.health
}

// unknown says that this process neither wrote the Node nor knows when somebody did.
func (n *nodeCopy) unknown() bool {
	return n.touched.IsZero() && n.written == nil
}

// newPause is how soon it is checked again whether a Node may be made.
const newPause = 2 * time.Second

// waitsToBeNew says that a base gets no Node yet because renewals of Leases are behind. One
// that had a Node gets it again at once: its pods would be collected.
func (b *Base) waitsToBeNew(in Facts) bool {
	switch {
	case !in.NewWait, b.node.catchUp(in.Node) != nil:
		return false
	}
	return b.node.unknown()
}

// newDue is when to look again after a base that waits to be new; zero for any other.
func (b *Base) newDue(in Facts) time.Time {
	if b.waitsToBeNew(in) {
		return in.Now.Add(newPause)
	}
	return time.Time{}
}

// tooEarly says that a base without a Node gets none yet: only one that is heard and has
// answered gets one. Anybody can say that there is a base; that something answers as one
// is not invented so easily, and a Node that never had a base would draw pods. One that is
// heard keeps its modules' pods by its Node although it is not ready: without a Node they
// would be collected.
func (b *Base) tooEarly(now time.Time, age Age) bool {
	switch {
	case b.about.lastSeen.IsZero(), b.seen.answered.IsZero(), age.Stage > Fresh, age.NotReady == plan.ReasonBasePodDeleted:
		return true
	case b.seen.health != nil:
		return false
	}
	return now.Before(b.seen.answered.Add(healthPatience))
}

// nodeDue is when the Node's status is to be written although nothing differs, or when a
// Node is created without waiting for the base's health any longer. Writes says that it
// is written now. What is due and not written has nothing to be written to.
func (b *Base) nodeDue(now time.Time, writes bool) time.Time {
	due := b.node.touched.Add(b.cfg.NodeEvery)
	if b.node.touched.IsZero() {
		due = b.seen.answered.Add(healthPatience) // an answer that is still to come wakes the base
	}
	if writes || !due.After(now) {
		due = now.Add(b.cfg.NodeEvery)
	}
	if b.node.held {
		return earliest(due, b.node.pace.due())
	}
	return due
}

// tellExcess tells once of a capacity that is more than a base is believed to have.
func (b *Base) tellExcess() []plan.Event {
	excess := b.cfg.Node.Excess(b.seen.health)
	if b.seen.health == nil || (excess == "") == (b.node.excess == "") {
		return nil
	}
	b.node.excess = excess
	if excess == "" {
		return nil
	}
	return []plan.Event{{Warning: true, Reason: plan.ReasonCapacityClipped, Message: excess}}
}

// NodeWritten takes in the Node as the API server has it after our write. Status says
// that its status was written.
func (b *Base) NodeWritten(node *corev1.Node, status bool, now time.Time) {
	b.node.written = node
	if b.node.describes {
		b.node.pace.spend(now)
	}
	if status {
		b.node.touched = now
	}
}

// NodeFound takes in a Node that was there when we created it: another controller's, for
// it has not our labels yet. It is described anew at the next Turn.
func (b *Base) NodeFound(node *corev1.Node) { b.node.written, b.node.touched = node, time.Time{} }

// NodeRead takes in how the Node is now that somebody changed when we wrote it.
func (b *Base) NodeRead(node *corev1.Node) { b.node.written = node }

// NodeMissing takes in that the Node was not there when we wrote it.
func (b *Base) NodeMissing() { b.node.written = nil }

// earliest is the first of the times that are not zero; zero when all are.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		switch {
		case t.IsZero():
		case first.IsZero(), t.Before(first):
			first = t
		}
	}
	return first
}
