package world

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// Owner is what a base's Lease says.
type Owner struct {
	Holder string // an incarnation; empty: nobody
	Epoch  int32
}

// OwnerOf reads a Lease.
func OwnerOf(l coordinationv1.Lease) Owner {
	var o Owner
	if l.Spec.HolderIdentity != nil {
		o.Holder = *l.Spec.HolderIdentity
	}
	if l.Spec.LeaseTransitions != nil {
		o.Epoch = *l.Spec.LeaseTransitions
	}
	return o
}

// BaseLeases are the Leases of all bases, also of other Worlds.
func (a *API) BaseLeases() coordinationclient.LeaseInterface {
	return a.cluster.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
}

// MemberLeases are the membership Leases of the World's replicas, and of those that had
// its namespace before.
func (a *API) MemberLeases() coordinationclient.LeaseInterface {
	return a.cluster.Client.CoordinationV1().Leases(a.installation.name)
}

// Owners gives what the Leases of the World's bases say, by Node.
func (a *API) Owners() map[string]Owner {
	a.Helper()
	list, err := a.BaseLeases().List(a.Context(), a.OfEnv())
	a.Must(err)
	owners := map[string]Owner{}
	for _, l := range list.Items {
		owners[l.Name] = OwnerOf(l)
	}
	return owners
}

// Members gives who holds the membership Leases, by replica.
func (a *API) Members() map[string]string {
	a.Helper()
	list, err := a.MemberLeases().List(a.Context(), metav1.ListOptions{})
	a.Must(err)
	members := map[string]string{}
	for _, l := range list.Items {
		members[l.Name] = OwnerOf(l).Holder
	}
	return members
}

// Incarnation gives who holds a replica's membership Lease, "" for nobody.
func (a *API) Incarnation(replica int) string {
	a.Helper()
	return a.Members()[ReplicaName(replica)]
}

// AwaitOwned waits until every base is owned by a member that is none of gone, and gives
// how long that took.
func (a *API) AwaitOwned(within time.Duration, bases int, gone ...string) time.Duration {
	a.Helper()
	began := time.Now()
	a.Eventually(within, func() error {
		members := slices.Collect(maps.Values(a.Members()))
		owners := a.Owners()
		if len(owners) != bases {
			return fmt.Errorf("%d leases, want %d", len(owners), bases)
		}
		for node, o := range owners {
			if o.Holder == "" || !slices.Contains(members, o.Holder) || slices.Contains(gone, o.Holder) {
				return fmt.Errorf("%s is owned by %q, and members are %v", node, o.Holder, members)
			}
		}
		return nil
	})
	return time.Since(began)
}

// AwaitIncarnation waits until a replica is a member with another incarnation than
// before, and gives it.
func (a *API) AwaitIncarnation(replica int, before string) (now string) {
	a.Helper()
	a.Eventually(Timeout, func() error {
		if now = a.Incarnation(replica); now == before || now == "" {
			return fmt.Errorf("replica %d is %q, was %q", replica, now, before)
		}
		return nil
	})
	return now
}

// Shares counts the bases of each replica, by its pod's name.
func (a *API) Shares() map[string]int {
	a.Helper()
	shares := map[string]int{}
	for _, o := range a.Owners() {
		pod, _, _ := strings.Cut(o.Holder, "_")
		shares[pod]++
	}
	return shares
}

// AwaitBalanced waits until so many replicas own bases, none of them more than 15 % above
// its equal share.
func (a *API) AwaitBalanced(replicas, bases int) {
	a.Helper()
	most := 1.15 * float64(bases) / float64(replicas)
	a.Eventually(Timeout, func() error {
		shares := a.Shares()
		if len(shares) != replicas {
			return fmt.Errorf("%v, want %d owners", shares, replicas)
		}
		for pod, n := range shares {
			if float64(n) > most {
				return fmt.Errorf("%s owns %d of %d: %v", pod, n, bases, shares)
			}
		}
		return nil
	})
}

// CheckMoves checks that no base changed its owner more often than that.
func (a *API) CheckMoves(most int32, before map[string]Owner) {
	a.Helper()
	for node, o := range a.Owners() {
		if moves := o.Epoch - before[node].Epoch; moves > most {
			a.Errorf("%s moved %d times, want %d at most", node, moves, most)
		}
	}
}

// CheckLeases checks that each base's Lease is held by a member, carries the labels by
// which it is found and was renewed when it was due.
func (a *API) CheckLeases(bases int) error {
	members := a.Members()
	list, err := a.BaseLeases().List(a.Context(), metav1.ListOptions{}) // whatever labels they have
	if err != nil {
		return err
	}
	right := 0
	for _, l := range list.Items {
		if !strings.HasSuffix(l.Name, "."+a.Env) {
			continue
		}
		if err := checkLease(l, a.Env, members); err != nil {
			return err
		}
		right++
	}
	if right != bases {
		return fmt.Errorf("%d leases, want %d", right, bases)
	}
	return nil
}

func checkLease(l coordinationv1.Lease, env string, members map[string]string) error {
	const due = 29*time.Second + 5*time.Second // LEASE_RENEW_INTERVAL by default, and to be on the safe side
	holder := OwnerOf(l).Holder
	pod, _, _ := strings.Cut(holder, "_")
	if holder == "" || members[pod] != holder {
		return fmt.Errorf("lease %s is held by %q, and members are %v", l.Name, holder, members)
	}
	for key, want := range map[string]string{"component": "vnode-lease", "env": env, "owner": pod} {
		if is := l.Labels["virtual-kubelet.koupleless.io/"+key]; is != want {
			return fmt.Errorf("label %s of lease %s is %q, want %q", key, l.Name, is, want)
		}
	}
	if state := l.Labels["virtual-kubelet.koupleless.io/state"]; state != "owned" && state != "claimed" {
		return fmt.Errorf("lease %s is in state %q", l.Name, state)
	}
	if l.Spec.RenewTime == nil || time.Since(l.Spec.RenewTime.Time).Abs() > due {
		return fmt.Errorf("lease %s was renewed at %v", l.Name, l.Spec.RenewTime)
	}
	return nil
}
