package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"module-controller/provider/plan"
)

// nodeCopy is what this process knows of the base's Node.
type nodeCopy struct {
	// written is the Node as this process wrote it last, or as the cache has it since;
	// nil until this process writes it.
	written *corev1.Node
	// touched is when its status was last written; zero when unknown.
	touched time.Time
	// notReady is the reason that the Node shows, empty when it is Ready.
	notReady string
}

// healthPatience is how long a new base's Node waits for its health: with its true
// capacity from the start, the scheduler is not misled.
const healthPatience = time.Second

// lost forgets the Node that was deleted by somebody.
func (n *nodeCopy) lost(uid types.UID) {
	if n.written == nil {
		return
	}
	if n.written.UID == uid {
		n.written = nil
	}
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
		if b.tooEarly(in.Now, age) {
			return nil, nil
		}
	} else if b.node.unknown() {
		b.node.touched = in.Now // adopted: whoever served it wrote it lately
	}
	want = plan.Node(plan.NodeInput{
		Now: in.Now, Name: b.name, Heartbeat: b.about.heartbeat, Health: b.seen.health, NotReady: age.NotReady, Message: age.Message,
		Running: runningMemory(in.Pods), Installed: b.ledger.noted,
		Touch: in.Now.Sub(b.node.touched) >= b.cfg.NodeEvery, Config: b.cfg.Node,
	}, current)
	if current != nil && equality.Semantic.DeepEqual(current, want) {
		return current, nil
	}
	return current, want
}

// unknown says that this process neither wrote the Node nor knows when somebody did.
func (n *nodeCopy) unknown() bool {
	return n.touched.IsZero() && n.written == nil
}

// tooEarly says that a base without a Node gets none yet: only a fresh message
// creates one.
func (b *Base) tooEarly(now time.Time, age Age) bool {
	switch {
	case b.about.lastSeen.IsZero(), age.NotReady != "":
		return true
	case b.seen.health != nil:
		return false
	}
	return now.Before(b.since.Add(healthPatience))
}

// nodeDue is when the Node's status is to be written although nothing differs, or when a
// Node is created without waiting for the base's health any longer. Writes says that it
// is written now. What is due and not written has nothing to be written to.
func (b *Base) nodeDue(now time.Time, writes bool) time.Time {
	due := b.node.touched.Add(b.cfg.NodeEvery)
	if b.node.touched.IsZero() {
		due = b.since.Add(healthPatience)
	}
	if writes || !due.After(now) {
		return now.Add(b.cfg.NodeEvery)
	}
	return due
}

// NodeWritten takes in the Node as the API server has it after our write. Status says
// that its status was written.
func (b *Base) NodeWritten(node *corev1.Node, status bool, now time.Time) {
	b.node.written = node
	if status {
		b.node.touched = now
	}
}

// NodeFound takes in a Node that was there when we created it: another controller's, for
// it has not our labels yet. It is described anew at the next Turn.
func (b *Base) NodeFound(node *corev1.Node) { b.node.written, b.node.touched = node, time.Time{} }

// NodeMissing takes in that the Node was not there when we wrote it.
func (b *Base) NodeMissing() { b.node.written = nil }

// runningMemory is the memory in bytes that pods request whose modules serve on the base.
func runningMemory(pods []plan.Pod) int64 {
	var sum int64
	for _, pod := range pods {
		if pod.Gone || !containersReady(pod.Pod) {
			continue
		}
		for _, c := range pod.Spec.Containers {
			sum += c.Resources.Requests.Memory().Value()
		}
	}
	return sum
}

func containersReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.ContainersReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

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
