package diagnose

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
	"module-controller/provider/plan"
)

// What Events about a base's Node tell.

// contest reads what the Event BaseContested says: who contends, and whose place.
var contest = regexp.MustCompile(`^(.+) at (\S+) \(.*\), over (\S+), says that it is this base, which is (.+) at (\S+) \(.*\), over (\S+)\. It is not believed`)

// recent is how old an Event may be that counts: it is told anew every ten minutes for as
// long as it holds.
const recent = 15 * time.Minute

// lately gives the newest Event of a reason on a base's Node that still counts; nil for none.
// What was told of a Node before this one was created, by the same name, does not. Both times
// are in whole seconds: what was told in the second of the creation counts.
func lately(s *fleet.Snapshot, b *fleet.Base, reason string) (last *corev1.Event) {
	since := s.At.Add(-recent)
	if b.Node != nil && b.Node.CreationTimestamp.After(since) {
		since = b.Node.CreationTimestamp.Time
	}
	for _, e := range s.EventsOf("Node", "", b.Name) {
		if e.Reason == reason && !fleet.Last(e).Before(since) {
			last = &e
		}
	}
	return last
}

// reused tells of a contender that is another application at the same address.
func reused(s *fleet.Snapshot, b *fleet.Base) *found {
	e := lately(s, b, plan.ReasonBaseContested)
	if e == nil {
		return nil
	}
	m := contest.FindStringSubmatch(e.Message)
	if m == nil || host(m[2]) != host(m[5]) || application(m[1]) == application(m[4]) {
		return nil
	}
	return &found{
		cause:    fmt.Sprintf("the address was reused: another application, %s, answers at %s in the place of %s", m[1], host(m[2]), m[4]),
		remedy:   "if the old base is gone, wait: once it was silent for STALE_AFTER (40 s) its pods are placed elsewhere and the new one becomes a base of its own. If both live, give each its own identity",
		evidence: []string{quote("Event "+e.Reason, e.Message)},
	}
}

// application is the name in "name version".
func application(text string) string {
	name, _, _ := strings.Cut(text, " ")
	return name
}

// host is an address without its port.
func host(address string) string {
	if i := strings.LastIndexByte(address, ':'); i > 0 && (strings.Count(address, ":") == 1 || address[i-1] == ']') {
		return address[:i]
	}
	return address
}

func contested(s *fleet.Snapshot, b *fleet.Base) *found {
	e := lately(s, b, plan.ReasonBaseContested)
	if e == nil || b.NotReady() == plan.ReasonIdentityConflict || reused(s, b) != nil {
		return nil
	}
	return found{
		cause:    "somebody else says that it is this base; it is not believed and gets nothing while this one lives",
		remedy:   "if both are yours give each its own identity; if not, the Event says where it is",
		evidence: []string{quote("Event "+e.Reason, e.Message)},
	}.mild(Warning)
}

// fromEvent makes a mild finding of an Event on a base's Node.
func fromEvent(s *fleet.Snapshot, b *fleet.Base, reason, cause, remedy string) *found {
	e := lately(s, b, reason)
	if e == nil {
		return nil
	}
	return found{cause: cause, remedy: remedy, evidence: []string{quote("Event "+e.Reason, e.Message)}}.mild(Note)
}

func clipped(s *fleet.Snapshot, b *fleet.Base) *found {
	return fromEvent(s, b, plan.ReasonCapacityClipped, "this base claims more metaspace or CPUs than it is believed to have", "raise NODE_MAX_MEMORY or NODE_MAX_CPUS if it has that much")
}

func unmanaged(s *fleet.Snapshot, b *fleet.Base) *found {
	return fromEvent(s, b, plan.ReasonUnmanaged, "modules are installed on this base that no pod asks for", "make pods for them, uninstall them, or set UNMANAGED_MODULES=uninstall")
}

func restless(s *fleet.Snapshot, b *fleet.Base) *found {
	return fromEvent(s, b, "EventsLeftOut", "this base or its modules change too often: Events were left out", "see what restarts: kubectl modules base "+b.ID.Identity)
}
