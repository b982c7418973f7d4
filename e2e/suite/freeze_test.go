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
)

// freeze stops a replica's process for a while, which the recorder notes.
func (w *world) freeze(replica int, d time.Duration) {
	w.Helper()
	thawed := w.recorded.fault("freeze", "", w.incarnation(replica))
	w.must(w.replicas[replica].Signal(syscall.SIGSTOP))
	<-time.After(d)
	thawed() // it may act again while it is woken
	w.must(w.replicas[replica].Signal(syscall.SIGCONT))
}

// renewedAgain waits until a replica is a member that has renewed from now on.
func (w *world) renewedAgain(replica int) {
	w.Helper()
	now := time.Now()
	w.eventually(patience, func() error {
		l, err := client.CoordinationV1().Leases(harness.Namespace).Get(w.Context(), fmt.Sprintf("module-controller-%d", replica), metav1.GetOptions{})
		if err == nil && (ownerOf(*l).holder == "" || !l.Spec.RenewTime.After(now)) {
			err = fmt.Errorf("replica %d: %+v", replica, l.Spec)
		}
		return err
	})
}

// A replica that stands still for half of its Lease's duration goes on where it was:
// nobody took anything of it. After a little more than the duration it does, or is
// somebody new, whoever was faster.
func TestAReplicaThatStandsStillForAMoment(t *testing.T) {
	const bases, duration = 30, 10 * time.Second
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	before, lives := w.owners(), w.members()
	w.freeze(0, duration/2)
	w.renewedAgain(0)
	w.eachListed()
	if now := w.owners(); !maps.Equal(now, before) {
		t.Errorf("owners are %v, were %v", now, before)
	}
	if now := w.members(); !maps.Equal(now, lives) {
		t.Errorf("members are %v, were %v", now, lives)
	}
	victim := w.incarnation(1)
	w.freeze(1, duration*11/10)
	w.renewedAgain(1)
	w.settled()
	w.ownedBy(patience, bases)
	t.Logf("after 1.1 times the duration it is somebody new: %v", w.incarnation(1) != victim)
	check()
}

// A replica that wakes up cut off from the API may not act, however much there is to
// do: its base, which has lost its module meanwhile, hears nothing of it until the
// replica has renewed its membership.
func TestAReplicaThatWakesUpCutOffIsSilent(t *testing.T) {
	const bases = 4
	w := newWorld(t).withBroker().withFleet(bases)
	w.proxied, w.apiAway = true, true
	w.withStock(2, bases)
	owners := w.owners()
	victim := owners[w.nodeOf("base-0001")].holder
	replica := w.replicaOf(victim)
	api := w.links[slices.Index(w.replicas, replica)].api
	commands := func() int {
		b, err := w.fleet.Base("base-0001")
		w.must(err)
		return len(b.Commands)
	}
	before := commands()
	w.must(api.Blackhole())
	w.must(replica.Signal(syscall.SIGSTOP))
	w.must(w.fleet.Do("base-0001", "restart"))
	<-time.After(5 * time.Second) // its time to act is over, and it is not killed yet
	w.must(replica.Signal(syscall.SIGCONT))
	over := time.Now().Add(3 * time.Second)
	w.eventually(patience, func() error {
		if n := commands() - before; n > 0 {
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
	w.must(api.Pass())
	w.eventually(patience, func() error {
		if n := commands() - before; n != 1 {
			return fmt.Errorf("the base got %d commands, want one to install its module again", n)
		}
		return nil
	})
	w.serves("base-0001", "stock:1.0.0")
	if now := w.owners(); !maps.Equal(now, owners) {
		t.Errorf("owners are %v, were %v", now, owners)
	}
}

func TestAFrozenReplicaComesBackAsSomebodyNew(t *testing.T) {
	const bases = 30
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	victim := w.incarnation(0)
	thawed := w.recorded.fault("freeze", victim, victim)
	w.must(w.replicas[0].Signal(syscall.SIGSTOP))
	woken := time.After(3 * 10 * time.Second) // three times the duration of its Lease
	w.ownedBy(20*time.Second, bases, victim)
	<-woken
	thawed()
	w.must(w.replicas[0].Signal(syscall.SIGCONT))
	w.eventually(patience, func() error {
		if now := w.incarnation(0); now == victim || now == "" {
			return fmt.Errorf("replica 0 is %q", now)
		}
		if w.shares()["module-controller-0"] == 0 {
			return fmt.Errorf("replica 0 owns nothing: %v", w.shares())
		}
		return nil
	})
	check()
}
