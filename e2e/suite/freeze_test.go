package suite

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// freeze stops a replica's process for a while, which the Recorder notes.
func freeze(w *world.World, replica int, d time.Duration) {
	w.Helper()
	thawed := w.Recorder.Fault("freeze", "", w.Incarnation(replica))
	w.Must(w.Replicas[replica].Signal(syscall.SIGSTOP))
	<-time.After(d)
	thawed() // it may renew again while it is woken
	w.Must(w.Replicas[replica].Signal(syscall.SIGCONT))
}

// awaitRenewal waits until a replica is a member that has renewed from now on.
func awaitRenewal(w *world.World, replica int) {
	w.Helper()
	now := time.Now()
	w.Eventually(world.Timeout, func() error {
		l, err := w.MemberLeases().Get(w.Context(), world.ReplicaName(replica), metav1.GetOptions{})
		if err == nil && (world.OwnerOf(*l).Holder == "" || !l.Spec.RenewTime.After(now)) {
			err = fmt.Errorf("replica %d: %+v", replica, l.Spec)
		}
		return err
	})
}

// A replica that is frozen for half of its Lease's duration goes on where it was: nobody
// claimed anything of it. After a little more than the duration it goes on, or has a new
// incarnation, whoever was faster.
func TestABrieflyFrozenReplica(t *testing.T) {
	t.Parallel()
	const bases, duration = 30, 10 * time.Second
	w := cluster.NewFleet(t, 3, bases)
	check := w.Undisturbed(bases)
	before, members := w.Owners(), w.Members()
	freeze(w, 0, duration/2)
	awaitRenewal(w, 0)
	w.AwaitListed()
	if now := w.Owners(); !maps.Equal(now, before) {
		t.Errorf("owners are %v, were %v", now, before)
	}
	if now := w.Members(); !maps.Equal(now, members) {
		t.Errorf("members are %v, were %v", now, members)
	}
	victim := w.Incarnation(1)
	freeze(w, 1, duration*11/10)
	awaitRenewal(w, 1)
	w.AwaitPlaced()
	w.AwaitOwned(world.Timeout, bases)
	t.Logf("after 1.1 times the duration it has a new incarnation: %v", w.Incarnation(1) != victim)
	check()
}

// A replica that wakes cut off from the API sends nothing, however much there is to do:
// its base, which has lost its module meanwhile, gets no command until the replica has
// renewed its membership.
func TestAReplicaThatWakesCutOffSendsNothing(t *testing.T) {
	t.Parallel()
	const bases = 4
	w := cluster.New(t).WithBroker().WithFleet(bases)
	w.Proxied, w.APIUnreachable = true, true
	w.WithStock(2, bases)
	owners := w.Owners()
	victim := owners[w.NodeName("base-0001")].Holder
	replica := w.ReplicaOf(victim)
	api := w.Links[slices.Index(w.Replicas, replica)].API
	commands := func() (all []harness.SimCommand) {
		b, err := w.Fleet.Base("base-0001")
		w.Must(err)
		return b.Commands
	}
	before := len(commands())
	w.Must(api.Blackhole())
	w.Must(replica.Signal(syscall.SIGSTOP))
	w.Must(w.Fleet.Do("base-0001", "restart"))
	<-time.After(5 * time.Second) // its renew deadline has passed, and it is not expired yet
	w.Must(replica.Signal(syscall.SIGCONT))
	over := time.Now().Add(3 * time.Second)
	w.Eventually(world.Timeout, func() error {
		if n := len(commands()) - before; n > 0 {
			return harness.Final(fmt.Errorf("the base got %d commands", n))
		}
		if _, err := replica.Health("/livez"); err != nil {
			return harness.Final(err)
		}
		if left := time.Until(over); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	w.Must(api.Pass())
	w.Eventually(world.Timeout, func() error {
		since := slices.DeleteFunc(commands()[before:], world.IsBaseline) // it asked at its start
		if len(since) != 1 || since[0].Command != "installBiz" {
			return fmt.Errorf("the base got %+v, want one to install its module again", since)
		}
		return nil
	})
	w.AwaitServing("base-0001", "stock:1.0.0")
	if now := w.Owners(); !maps.Equal(now, owners) {
		t.Errorf("owners are %v, were %v", now, owners)
	}
}

func TestAFrozenReplicaReturnsWithANewIncarnation(t *testing.T) {
	t.Parallel()
	const bases = 30
	w := cluster.NewFleet(t, 3, bases)
	check := w.Undisturbed(bases)
	victim := w.Incarnation(0)
	thawed := w.Recorder.Fault("freeze", victim, victim)
	w.Must(w.Replicas[0].Signal(syscall.SIGSTOP))
	woken := time.After(3 * 10 * time.Second) // three times the duration of its Lease
	w.AwaitOwned(20*time.Second, bases, victim)
	<-woken
	thawed()
	w.Must(w.Replicas[0].Signal(syscall.SIGCONT))
	w.AwaitIncarnation(0, victim)
	w.Eventually(world.Timeout, func() error {
		if w.Shares()["module-controller-0"] == 0 {
			return fmt.Errorf("replica 0 owns nothing: %v", w.Shares())
		}
		return nil
	})
	check()
}
