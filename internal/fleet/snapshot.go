package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/election"
	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// Objects are what a Snapshot is made of. They are not changed.
type Objects struct {
	// At is when they were read, by the API server's clock as far as it is known.
	At time.Time
	// Namespace is the installation that is looked at.
	Namespace string
	// Server is the API server's version, as "v1.37.2"; empty where it is not known.
	Server string
	// MemberLeases are those of all installations that could be read, BaseLeases those of
	// kube-node-lease whose names are a base's.
	MemberLeases, BaseLeases []coordinationv1.Lease
	Nodes                    []corev1.Node
	// Modules are the pods that are modules, Strangers those that are bound to VNodes and
	// are none, BasePods those in which bases may run, Replicas the controller's own.
	Modules, Strangers, BasePods, Replicas []corev1.Pod
	Events                                 []corev1.Event
	// Owners are what pods are replicas of, by UID, as far as they were read.
	Owners map[types.UID]Owner
	// Unread is what could not be read, and why.
	Unread []Unread
}

// Unread is something that could not be read.
type Unread struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Owner is an object that makes pods.
type Owner struct {
	Kind, Namespace, Name string
	// By is who made it; empty for nobody.
	By types.UID
	// Wanted, Made and Ready count its pods; Wanted is -1 where that is not known.
	Wanted, Made, Ready int32
	// Trouble is what its own conditions say is wrong; empty for nothing.
	Trouble string
}

// Member is a replica as its Lease tells of it.
type Member = election.MemberLease

// Base is a base by what it has in the API: a Node, a Lease, or both.
type Base struct {
	// Name is that of its Node and its Lease.
	Name string
	ID   tunnel.BaseID
	// Node is nil where there is none.
	Node *corev1.Node
	// Lease is nil where there is none. LastOwner is the member that it names, living or not.
	Lease     *shard.Lease
	LastOwner string
	// Says is what the Node tells of the base; empty without one.
	Says tunnel.Heartbeat
}

// NotReady is the reason for which the Node is not ready; empty where it is, or there is none.
func (b *Base) NotReady() string {
	if b.Node == nil {
		return ""
	}
	return plan.NotReadyOf(b.Node)
}

// Snapshot is the fleet at one time.
type Snapshot struct {
	Objects
	// Members are those of Namespace, Others those of other installations, both in order.
	Members, Others []Member
	// Bases are in the order of their names.
	Bases []*Base

	bases  map[string]*Base
	pods   map[string][]*corev1.Pod // by Node
	events map[string][]corev1.Event
}

// Build makes a Snapshot.
func Build(o Objects) *Snapshot {
	s := &Snapshot{Objects: o, bases: map[string]*Base{}, pods: map[string][]*corev1.Pod{}, events: map[string][]corev1.Event{}}
	for i := range o.MemberLeases {
		m := election.ReadMember(&o.MemberLeases[i])
		if m.Installation == o.Namespace {
			s.Members = append(s.Members, m)
		} else {
			s.Others = append(s.Others, m)
		}
	}
	byName := func(a, b Member) int {
		return cmp.Or(strings.Compare(a.Installation, b.Installation), strings.Compare(a.Name, b.Name))
	}
	slices.SortFunc(s.Members, byName)
	slices.SortFunc(s.Others, byName)
	s.addBases()
	for _, pods := range [][]corev1.Pod{o.Modules, o.Strangers} {
		for i := range pods {
			if node := pods[i].Spec.NodeName; node != "" {
				s.pods[node] = append(s.pods[node], &pods[i])
			}
		}
	}
	for _, e := range o.Events {
		s.events[about(e.InvolvedObject)] = append(s.events[about(e.InvolvedObject)], e)
	}
	return s
}

func (s *Snapshot) addBases() {
	for i := range s.Nodes {
		node := &s.Nodes[i]
		if b := s.base(node.Name); b != nil {
			b.Node = node
			b.Says, _, _ = plan.Adopt(node) // of another controller's Node it tells nothing
		}
	}
	for i := range s.BaseLeases {
		lease := &s.BaseLeases[i]
		if b := s.base(lease.Name); b != nil {
			seen := election.ReadBase(lease)
			b.Lease, b.LastOwner = &seen, election.LastOwner(lease)
		}
	}
	slices.SortFunc(s.Bases, func(a, b *Base) int { return strings.Compare(a.Name, b.Name) })
}

// base is the base of a name, which is made where it is new; nil where it is none's.
func (s *Snapshot) base(name string) *Base {
	if b := s.bases[name]; b != nil {
		return b
	}
	id, is := plan.BaseOf(name)
	if !is {
		return nil
	}
	b := &Base{Name: name, ID: id}
	s.bases[name] = b
	s.Bases = append(s.Bases, b)
	return b
}

// about is the key of an object that Events tell of.
func about(r corev1.ObjectReference) string {
	if r.Kind == "Node" {
		return "Node//" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// Base is the base of a name; nil where there is none.
func (s *Snapshot) Base(name string) *Base { return s.bases[name] }

// PodsOn are the pods that are bound to a Node, modules or not.
func (s *Snapshot) PodsOn(node string) []*corev1.Pod { return s.pods[node] }

// EventsOf are the Events about an object, the newest last. The namespace of a Node is empty.
func (s *Snapshot) EventsOf(kind, namespace, name string) []corev1.Event {
	of := slices.Clone(s.events[kind+"/"+namespace+"/"+name])
	slices.SortStableFunc(of, func(a, b corev1.Event) int { return Last(a).Compare(Last(b)) })
	return of
}

// Last is when an Event was told last.
func Last(e corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// IsModule says whether a pod is a module.
func IsModule(pod *corev1.Pod) bool { return pod.Labels[plan.LabelComponent] == plan.ComponentModule }
