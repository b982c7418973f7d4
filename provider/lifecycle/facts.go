package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// Right is what this replica may do for a base, as the Lease's owner says it. Rights are
// ordered.
type Right int

// The rights.
const (
	// NotHeld: the base's Lease is another's, or nobody's.
	NotHeld Right = iota
	// Held: the Lease is ours, but we may not act: it could not be renewed in time.
	Held
	// Valid: we may act until Claim.Deadline.
	Valid
)

// Facts are all that the shell can see of a base. It reads them before it asks, in the
// order that the fields' comments name.
type Facts struct {
	Mail Mail // taken first: what comes later wakes the base again
	Lease
	// Now is read after Right and Mail, so that no time in them is after it.
	Now   time.Time
	Links map[string]tunnel.Link // by tunnel; one that said nothing yet is down
	Node  *corev1.Node           // as the cache has it; nil for none. It is not changed.
	// Place is that of the workload that the base is bound to; zero where it is bound to
	// none.
	Place plan.Place
	Cluster
	Load

	// Pods and what follows are read for a base that is served; else they are empty.
	Pods []plan.Pod
	// Current says that Pods has every change made before the claim.
	Current bool
	// Writing says that a status of a pod on the Node is being written.
	Writing bool
	// Failures are remembered of modules that pods want again.
	Failures map[tunnel.ModuleKey]plan.Failure
}

// Cluster is what the cluster and this replica are to a Node.
type Cluster struct {
	// ServerVersion is the API server's; empty while it is not known.
	ServerVersion string
	// Kubelet is where this replica serves the kubelet's API of the Node; zero where it does
	// not.
	Kubelet plan.Endpoint
}

// Load is what there is room for beside all other bases.
type Load struct {
	// NewWait says that renewals of Leases are behind: a base that had no Node gets none yet.
	NewWait bool
	// Room is when the budget of questions has room for one that can wait; not after Now where
	// it has room now.
	Room time.Time
}

// Lease is what the base's Lease tells.
type Lease struct {
	// Right is what we may do for the base, Claim the claim where Right is Valid.
	Right Right
	Claim shard.Claim
	// Noted is what the Lease tells that was installed; nil where it tells nothing. It is read
	// after Claim: who owned the base before wrote it last.
	Noted map[tunnel.ModuleKey]bool
}

// Actions are what to do, from top to bottom. Those that are zero are nothing.
type Actions struct {
	Pods
	Talk Talk
	News
	// Retire deletes the base's Node and gives its claim up; what follows is nothing then.
	Retire   *Retirement
	Remember Memory
	Write    Write
	// NeedCurrent: something is to be done, but the cache of pods may be behind the
	// claim. The shell has the API server asked.
	NeedCurrent bool
	// Drained: the base may be another's from now on.
	Drained bool
	// Settled: nothing is to be done while the base's list stays as it is.
	Settled bool
	// Summary is for gauges; nil leaves the last one in place.
	Summary *Summary
	// Next is when to reconcile again if nothing happens, Silence when if nothing is heard.
	Next    time.Time
	Silence Silence
}

// Pods is what becomes of the shell's record of the Node's pods.
type Pods struct {
	// LetGo: the claim is lost. The shell forgets the Node's pods, so that nothing is
	// uninstalled when they vanish from its sight.
	LetGo bool
	// Begin: the shell takes in the Node's pods, and turns the base again at once.
	Begin bool
	// Renew are pods that are to be installed and whose environments are of another time: the
	// shell has them resolved anew, and turns the base again.
	Renew []types.UID
}

// Memory is what is to be remembered. Its maps are not changed.
type Memory struct {
	// Failures are for the bounded memory.
	Failures map[tunnel.ModuleKey]plan.Failure
	// Installed is what the base's Lease is to tell the next owner, written whenever the
	// Lease is; nil for a base that is not served.
	Installed map[tunnel.ModuleKey]bool
}

// News is what to log and count.
type News struct {
	// Changed is a change of readiness.
	Changed *Change
	// Contested is a contender that waits and is to be told of, once in a while.
	Contested *tunnel.Heartbeat
	// Moved is the base at another place.
	Moved *tunnel.Heartbeat
	// Ended are commands of this replica whose ends are known now.
	Ended []plan.Ended
}

// Change is a change of a base's readiness: reasons, empty for Ready.
type Change struct{ Was, Is string }

// Retirement is the end of a base.
type Retirement struct {
	Why  string
	Node *corev1.Node // nil for none
	// Installed is remembered in case the base comes back.
	Installed map[tunnel.ModuleKey]bool
	// Evict: the base is known to be gone, so the pods on the Node are deleted first: they
	// are placed anew at once, and not when Kubernetes finds that they have no Node.
	Evict bool
	// Successor is another application with the base's identity, which becomes a base of its
	// own. Nil where there is none.
	Successor *tunnel.Heartbeat
}

// Write is what to write to the API server.
type Write struct {
	// Was is the Node as it is, nil where there is none. Node is as it should be, nil
	// where nothing differs.
	Was, Node *corev1.Node
	// Show: the base is served, so the pod controller may see its pods once its Node is there.
	Show   bool
	Finish []plan.PodStatus // pods to end: the last status is written and the pod deleted
	Pods   []plan.PodStatus // pods whose status differs
	// Displace are pods to delete with their grace, for their controllers make others.
	Displace []*corev1.Pod
	Events   []plan.Event // with an empty Pod on the Node
}

// Summary is what a Turn found.
type Summary struct {
	Served, Ready bool
	// Modules are the listed ones that serve, Unmanaged those that no pod asked for.
	Modules, Unmanaged int
}
