package diagnose

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// State is how far a link of a chain is.
type State string

// The states of a link.
const (
	Done    State = "done"    // it is as it should be
	Stuck   State = "stuck"   // it is here that it does not go on
	Pending State = "pending" // it waits for what comes before it
)

// Link is a part of the way from a Deployment to a module.
type Link struct {
	What  string `json:"what"`
	State State  `json:"state"`
	Says  string `json:"says,omitempty"`
}

// Chain is the way from what was asked for to a module that serves, and where it stands.
type Chain struct {
	About Object `json:"about"`
	Links []Link `json:"links"`
	// Findings are why it does not go on, the cause first; empty where all is well.
	Findings []Finding `json:"findings,omitempty"`
}

// chain is a Chain in the making: what comes after a stuck link waits.
type chain struct {
	Chain
	stuck bool
}

func (c *chain) add(what string, ok bool, says string) {
	state := Done
	switch {
	case c.stuck:
		state = Pending
	case !ok:
		state, c.stuck = Stuck, true
	}
	c.Links = append(c.Links, Link{What: what, State: state, Says: says})
}

// tell adds a link of which it only matters what it says.
func (c *chain) tell(what, says string) {
	c.Links = append(c.Links, Link{What: what, State: Done, Says: says})
}

// WhyPod says how a pod came about and where it stands.
func WhyPod(s *fleet.Snapshot, pod *corev1.Pod) Chain {
	c := chain{Chain: Chain{About: podObject(pod), Findings: Pod(s, pod)}}
	for _, o := range ownersOf(s, pod) {
		c.tell(o.Kind+" "+o.Name, ownerSays(o))
	}
	c.tell("Pod "+pod.Name, podSays(s, pod))
	node := pod.Spec.NodeName
	if node == "" {
		says := "no base yet"
		if p := scheduled(pod); p != nil && p.Message != "" {
			says = p.Message
		}
		c.add("Scheduler", false, says)
		c.add("Base", false, "")
		c.add("Module", false, "")
		return c.Chain
	}
	c.add("Scheduler", true, "placed it on "+node)
	if _, onBase := plan.BaseOf(node); !onBase {
		b := baseIn(s, pod)
		c.add("Base", b != nil && len(c.Findings) == 0, "its Node is "+nameOr(b, "not there"))
		return c.Chain
	}
	c.base(s, s.Base(node))
	for _, m := range plan.Wanted(pod) {
		is := bound{s, pod, s.Base(node)}
		reason, message := is.waiting()
		says := "serves"
		if reason != "" {
			says = reason + ": " + message
		} else if !is.fine() {
			says = string(pod.Status.Phase) + " " + pod.Status.Reason
		}
		c.add("Module "+m.String(), is.fine(), says)
	}
	if len(plan.Wanted(pod)) == 0 {
		c.add("Module", false, "the pod names none")
	}
	return c.serves(pod)
}

// serves gives the chain of a pod. One with which nothing is wrong serves whatever its base's
// links say: another installation's or controller's are as good to it.
func (c *chain) serves(pod *corev1.Pod) Chain {
	if len(c.Findings) == 0 && ready(pod) {
		for i := range c.Links {
			c.Links[i].State = Done
		}
	}
	return c.Chain
}

func nameOr(b *fleet.Base, otherwise string) string {
	if b == nil {
		return otherwise
	}
	return b.Name
}

// ownersOf gives what a pod is a replica of, the highest first.
func ownersOf(s *fleet.Snapshot, pod *corev1.Pod) (owners []fleet.Owner) {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return nil
	}
	for uid := ref.UID; uid != ""; {
		o, known := s.Owners[uid]
		if !known {
			break
		}
		owners = append([]fleet.Owner{o}, owners...)
		uid = o.By
	}
	return owners
}

func ownerSays(o fleet.Owner) string {
	if o.Wanted < 0 {
		return ""
	}
	says := fmt.Sprintf("wants %d pods, made %d, %d ready", o.Wanted, o.Made, o.Ready)
	if o.Trouble != "" {
		says += "; " + o.Trouble
	}
	return says
}

func podSays(s *fleet.Snapshot, pod *corev1.Pod) string {
	says := string(pod.Status.Phase) + ", made " + age(s.At.Sub(pod.CreationTimestamp.Time)) + " ago"
	if pod.DeletionTimestamp != nil {
		says += ", being deleted"
	}
	return says
}

// base adds a base's Node, its Lease and its owner.
func (c *chain) base(s *fleet.Snapshot, b *fleet.Base) {
	if b == nil || b.Node == nil {
		c.add("Base", false, "its Node is not there")
	} else {
		says := "ready"
		if why := b.NotReady(); why != "" {
			says = "not ready: " + why
		}
		c.add("Base "+b.ID.Identity, b.NotReady() == "", fmt.Sprintf("%s %s of environment %s, %s", b.Says.Name, b.Says.Version, b.ID.Env, says))
	}
	if b == nil {
		c.add("Lease", false, "")
		c.add("Owner", false, "")
		return
	}
	c.add("Lease", !s.Foreign(b) && b.Lease != nil && b.Lease.Holder != "", strings.TrimPrefix(leaseText(b), leaseOf(b)+": "))
	m := s.Owner(b)
	if m == nil {
		c.add("Owner", false, "no live member")
		return
	}
	says := "lives"
	if !m.Linked {
		says = "lives, and its tunnels are down"
	}
	c.add("Owner "+m.Name, m.Linked, says)
}

// WhyBase says how a base stands. B is nil where nothing of it is in the API; id is what was
// asked for.
func WhyBase(s *fleet.Snapshot, name string) Chain {
	c := chain{Chain: Chain{About: Object{Kind: "Node", Name: name}}}
	b := s.Base(name)
	if b == nil {
		c.base(s, nil)
		c.Findings = unknownBase(s, name)
		return c.Chain
	}
	c.Findings = Base(s, b)
	if m := s.Owner(b); m != nil {
		for _, f := range Members(s) {
			if f.Object == memberObject(*m) {
				c.Findings = append(c.Findings, f)
			}
		}
	}
	if b.Node == nil && len(c.Findings) == 0 {
		c.Findings = []Finding{found{
			cause:    "the base was announced and has not answered yet: only one that answered gets a Node",
			remedy:   "see whether the base answers: over HTTP at its own address and port, over MQTT on its topics",
			evidence: []string{leaseText(b)},
		}.finding("no-answer", docNoNode, baseObject(b))}
	}
	c.base(s, b)
	ready, all := 0, 0
	for _, p := range s.PodsOn(name) {
		if all++; (bound{s, p, b}).fine() {
			ready++
		}
	}
	c.add("Modules", ready == all, fmt.Sprintf("%d of %d pods are ready", ready, all))
	return c.Chain
}

// unknownBase tells of a base of which nothing is in the API.
func unknownBase(s *fleet.Snapshot, name string) []Finding {
	about := Object{Kind: "Node", Name: name}
	id, is := plan.BaseOf(name)
	if is && len(s.Live()) > 0 && !s.Serves(id.Env) && s.ServedBy(id.Env) == nil {
		envs, _ := s.Served()
		return []Finding{found{
			cause:    "wrong environment: no replica serves " + id.Env + ", so nobody hears this base; they serve " + some(envs),
			remedy:   "add it to ENV of the StatefulSet, or start the base with one that is served",
			evidence: []string{"membership Leases name the environments " + some(envs)},
		}.finding("environment-unserved", docInstallation, about)}
	}
	return []Finding{found{
		cause:    "no such base is known: it has neither a Node nor a Lease",
		remedy:   "see that it speaks to the controller's broker or Service, and that its environment is one of ENV; if it runs in a Pod: kubectl modules why pod/NAME",
		evidence: []string{"there is no Node and no Lease " + name},
	}.finding("base-unknown", docNoNode, about)}
}
