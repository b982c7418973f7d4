package election

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"module-controller/shard"
)

const prefix = "virtual-kubelet.koupleless.io/"

// Labels of a base's Lease, beside those of Nodes.LeaseMeta. They change only with its
// ownership; what somebody else made of them is put right at the next renewal. Members watch
// by them: whatever changes hands leaves stateOwned, so that all are shown it, and is back
// there at the first renewal, which its owner alone is shown.
const (
	labelComponent = prefix + "component"
	componentBase  = "vnode-lease"
	labelEnv       = prefix + "env"
	labelOwner     = prefix + "owner"
	// labelInstallation names the namespace of the membership Leases of those who own the
	// base among them. Absent in Leases of earlier versions and of other controllers.
	labelInstallation = prefix + "installation"
	labelState        = prefix + "state"
	stateOwned        = "owned"    // renewed by its holder
	stateClaimed      = "claimed"  // claimed or created, and not renewed yet
	stateHandover     = "handover" // transferred, and not acknowledged yet
	stateOrphaned     = "orphaned" // released to nobody
)

// parse gives a base's Lease in shard's words.
func parse(l *coordinationv1.Lease) shard.Lease {
	seen := shard.Lease{
		Holder: ptr.Deref(l.Spec.HolderIdentity, ""), Epoch: ptr.Deref(l.Spec.LeaseTransitions, 0), Revision: revision(l.ResourceVersion),
		Transferred: l.Labels[labelState] == stateHandover, Released: l.Labels[labelState] == stateOrphaned,
		Duration:     time.Duration(ptr.Deref(l.Spec.LeaseDurationSeconds, 0)) * time.Second,
		Installation: l.Labels[labelInstallation],
	}
	if l.Spec.RenewTime != nil {
		seen.Renewed = l.Spec.RenewTime.Time
	}
	return seen
}

// revision reads a resource version. The API has them grow as numbers.
func revision(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// leases are Leases by name, as seen last. What is seen late changes nothing.
type leases map[string]*coordinationv1.Lease

// keep takes in a Lease that was seen.
func (all leases) keep(l *coordinationv1.Lease) {
	if known := all[l.Name]; known == nil || revision(known.ResourceVersion) <= revision(l.ResourceVersion) {
		all[l.Name] = l
	}
}

// all gives the Leases, in no order.
func (all leases) all() []*coordinationv1.Lease { return slices.Collect(maps.Values(all)) }

// drop takes in that a Lease was deleted, which may have been made anew since.
func (all leases) drop(l *coordinationv1.Lease) {
	if known := all[l.Name]; known != nil && revision(known.ResourceVersion) <= revision(l.ResourceVersion) {
		delete(all, l.Name)
	}
}

// holds says whether an incarnation holds a Lease; nil is held by nobody.
func holds(incarnation string, l *coordinationv1.Lease) bool {
	return l != nil && ptr.Deref(l.Spec.HolderIdentity, "") == incarnation
}

// renewed is the Lease as it is to be written to renew it. Renew times only grow,
// across owners too: the node controller ignores others.
func renewed(lease *coordinationv1.Lease, duration time.Duration, now time.Time) *coordinationv1.Lease {
	next := lease.DeepCopy()
	at := metav1.NewMicroTime(now)
	if was := lease.Spec.RenewTime; was != nil && !at.After(was.Time) {
		at = metav1.NewMicroTime(was.Add(time.Microsecond))
	}
	seconds := int32(duration / time.Second)
	next.Spec.RenewTime, next.Spec.LeaseDurationSeconds = &at, &seconds
	return next
}

// stepped is a base's Lease as a step is to leave it: with us as its holder, or with
// whom the step hands the base over to. Labels and notes are those that the step does not
// decide.
func stepped(lease *coordinationv1.Lease, step shard.Step, labels, notes map[string]string, cfg Config, now time.Time) *coordinationv1.Lease {
	next := renewed(lease, cfg.Duration, now)
	holder, state := cfg.Incarnation, stateOwned
	switch step.Kind {
	case shard.CreateBase, shard.ClaimBase:
		state = stateClaimed
	case shard.TransferBase:
		holder, state = step.To.Holder, stateHandover
	case shard.ReleaseBase:
		holder, state = "", stateOrphaned
	default: // ours as before
	}
	if ptr.Deref(next.Spec.HolderIdentity, "") != holder || next.Spec.AcquireTime == nil {
		acquired := *next.Spec.RenewTime
		next.Spec.AcquireTime = &acquired
	}
	epoch := step.Epoch
	next.Spec.HolderIdentity, next.Spec.LeaseTransitions = &holder, &epoch
	next.Spec.PreferredHolder, next.Spec.Strategy = nil, nil
	for key, value := range labels {
		put(&next.Labels, key, value)
	}
	for key, value := range notes {
		put(&next.Annotations, key, value)
	}
	pod, _ := shard.PodOf(holder)
	put(&next.Labels, labelComponent, componentBase, labelOwner, pod, labelState, state, labelInstallation, cfg.Namespace)
	return next
}

func put(m *map[string]string, pairs ...string) {
	if *m == nil {
		*m = map[string]string{}
	}
	for i := 0; i < len(pairs); i += 2 {
		(*m)[pairs[i]] = pairs[i+1]
	}
}

// Labels and annotations of a membership Lease.
const (
	componentMember   = "module-controller"
	notePodUID        = prefix + "pod-uid"
	noteRenewDeadline = prefix + "act-window"
	noteAddress       = prefix + "address"
	notePeerKey       = prefix + "peer-key"
	noteServes        = prefix + "environments"
	noteVersion       = prefix + "version"
	noteState         = prefix + "state" // serving, draining, released, killed
	noteLinks         = prefix + "tunnels"
	noteTrouble       = prefix + "tunnels-down-for" // why one is down, in words; empty while none is
	noteWill          = prefix + "will-hash"        // of what the broker publishes when it loses the member
	noteWatch         = prefix + "watch"            // live, or stalled: it does not see what it is given
	noteOwned         = prefix + "bases-owned"
	noteAssigned      = prefix + "bases-wanted"
	noteLast          = prefix + "last-holder"
	noteExpiredBy     = prefix + "killed-by"

	memberServing  = "serving"
	memberDraining = "draining"
	memberReleased = "released"
	memberExpired  = "killed"
	linksUp        = "up"
	linksDown      = "down"
	watchLive      = "live"
	watchStalled   = "stalled"
)

// parseMember gives a membership Lease in shard's words.
func parseMember(l *coordinationv1.Lease) shard.Member {
	m := shard.Member{
		Name: l.Name, Holder: ptr.Deref(l.Spec.HolderIdentity, ""), Revision: revision(l.ResourceVersion),
		Address: l.Annotations[noteAddress], PeerKey: l.Annotations[notePeerKey], Last: l.Annotations[noteLast], Released: l.Annotations[noteState] == memberReleased,
		Draining: l.Annotations[noteState] == memberDraining, Linked: l.Annotations[noteLinks] == linksUp,
		Will: l.Annotations[noteWill], Blind: l.Annotations[noteWatch] == watchStalled,
	}
	if seconds := ptr.Deref(l.Spec.LeaseDurationSeconds, 0); seconds > 0 {
		m.FailureTimeout = time.Duration(seconds)*time.Second + expiryMargin
	}
	if l.Spec.RenewTime != nil {
		m.Renewed = l.Spec.RenewTime.Time
	}
	if envs := l.Annotations[noteServes]; envs != "" {
		m.Serves = strings.Split(envs, ",")
	}
	if act, err := time.ParseDuration(l.Annotations[noteRenewDeadline]); err == nil {
		m.RenewDeadline = act
	}
	return m
}

// announcement is what a membership Lease tells beside its holder.
type announcement struct {
	state           string // empty for memberServing
	linked          bool
	trouble         string // why a tunnel is down
	will            string // shard.Member.Will
	blind           bool   // the watch of bases stalls
	owned, assigned int
	window          time.Duration // how long the write lets this replica act
}

// joined is a membership Lease as it is to be written to join with it or to renew
// it.
func joined(lease *coordinationv1.Lease, cfg Config, a announcement, now time.Time) *coordinationv1.Lease {
	next := renewed(lease, cfg.MemberDuration, now)
	if ptr.Deref(next.Spec.HolderIdentity, "") != cfg.Incarnation {
		holder, transitions, acquired := cfg.Incarnation, ptr.Deref(next.Spec.LeaseTransitions, 0)+1, *next.Spec.RenewTime
		next.Spec.HolderIdentity, next.Spec.LeaseTransitions, next.Spec.AcquireTime = &holder, &transitions, &acquired
		delete(next.Annotations, noteLast)
		delete(next.Annotations, noteExpiredBy)
	}
	links, watches := linksDown, watchLive
	if a.linked {
		links = linksUp
	}
	if a.blind {
		watches = watchStalled
	}
	put(&next.Labels, labelComponent, componentMember)
	put(&next.Annotations, noteState, cmp.Or(a.state, memberServing), noteLinks, links, notePodUID, cfg.PodUID, noteRenewDeadline, cmp.Or(a.window, cfg.RenewDeadline).String(),
		noteAddress, cfg.Address, notePeerKey, cfg.PeerKey, noteServes, strings.Join(cfg.Envs, ","), noteVersion, cfg.Version, noteWill, a.will, noteWatch, watches,
		noteOwned, strconv.Itoa(a.owned), noteAssigned, strconv.Itoa(a.assigned))
	delete(next.Annotations, noteTrouble)
	if a.trouble != "" {
		put(&next.Annotations, noteTrouble, a.trouble)
	}
	return next
}

// vacated is a membership Lease as it is to be written when nobody holds it any
// more, by its holder (by is empty) or by who expires it. Its renew time stays: who
// saw the last renewal knows by it that there was no later one.
func vacated(lease *coordinationv1.Lease, by string) *coordinationv1.Lease {
	next := lease.DeepCopy()
	nobody := ""
	next.Spec.HolderIdentity = &nobody
	put(&next.Annotations, noteState, memberReleased, noteLast, ptr.Deref(lease.Spec.HolderIdentity, ""))
	if by != "" {
		put(&next.Annotations, noteState, memberExpired, noteExpiredBy, by)
	}
	return next
}
