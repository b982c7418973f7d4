package suite

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/proxy"
)

// links are the proxies between one replica and the servers that it speaks to.
type links struct{ api, broker *proxy.Proxy }

// newLinks starts proxies for one replica more.
func (w *world) newLinks() *links {
	w.Helper()
	api, err := url.Parse(plane.Config().Host)
	w.must(err)
	l := &links{}
	l.api, err = proxy.Start(api.Host)
	w.must(err)
	l.broker, err = proxy.Start("127.0.0.1:" + strconv.Itoa(w.brokerPort))
	w.must(err)
	w.links = append(w.links, l)
	w.proxies = append(w.proxies, l.api, l.broker)
	return l
}

// kubeconfig writes a kubeconfig that leads through the proxy.
func (l *links) kubeconfig(direct, path string) (string, error) {
	text, err := os.ReadFile(direct)
	if err != nil {
		return "", err
	}
	api, err := url.Parse(plane.Config().Host)
	if err != nil {
		return "", err
	}
	through := strings.ReplaceAll(string(text), api.Host, l.api.Addr())
	if through == string(text) {
		return "", fmt.Errorf("kubeconfig %s does not name %s", direct, api.Host)
	}
	return path, os.WriteFile(path, []byte(through), 0o600)
}

// Cut off from the API server alone, a replica falls silent, and others take its
// bases. It comes back as somebody new.
func TestAReplicaCutOffFromTheAPI(t *testing.T) {
	const bases = 30
	w := proxiedFleet(t, bases)
	w.apiAway = true
	check := w.undisturbed(bases)
	victim := w.incarnation(1)
	ended := w.recorded.fault("api blackhole", victim, victim)
	w.must(w.links[1].api.Blackhole())
	took := w.ownedBy(20*time.Second, bases, victim)
	t.Logf("its bases were claimed %s after it was cut off", took.Round(time.Millisecond))
	ended() // it may act again while the proxy opens
	w.must(w.links[1].api.Pass())
	w.eventually(patience, func() error {
		if now := w.incarnation(1); now == victim || now == "" {
			return fmt.Errorf("replica 1 is %q", now)
		}
		return nil
	})
	w.settled()
	check()
}

// Cut off from the broker alone, a replica hands its bases to those who are not, and
// declares no base dead.
func TestAReplicaCutOffFromTheBroker(t *testing.T) {
	const bases = 30
	w := proxiedFleet(t, bases)
	check := w.undisturbed(bases)
	victim := w.incarnation(1)
	ended := w.recorded.fault("broker cut", "")
	w.must(w.links[1].broker.Cut())
	took := w.ownedBy(patience, bases, victim)
	t.Logf("its bases were handed over %s after it was cut off", took.Round(time.Millisecond))
	if now := w.incarnation(1); now != victim {
		t.Errorf("replica 1 is %s, was %s: it should live", now, victim)
	}
	w.must(w.links[1].broker.Pass())
	ended()
	w.eventually(patience, func() error {
		if w.shares()["module-controller-1"] == 0 {
			return fmt.Errorf("replica 1 owns nothing: %v", w.shares())
		}
		return nil
	})
	check()
}

func proxiedFleet(t *testing.T, bases int) *world {
	t.Helper()
	w := newWorld(t).withBroker().withFleet(bases)
	w.proxied = true
	return w.withStock(3, bases)
}

// Replicas that reach nobody end when they are told to: they cannot hand their bases
// over. Started again, each goes on with its own, and nobody noticed.
func TestReplicasThatReachNobodyEnd(t *testing.T) {
	const bases, drain = 30, 8 * time.Second // with it, the Leases are renewed again before the Nodes' grace is over
	w := newWorld(t).withBroker().withFleet(bases)
	w.proxied, w.apiAway = true, true
	w.withStock(3, bases, "DRAIN_TIMEOUT="+drain.String())
	check := w.undisturbed(bases)
	before, lives := w.owners(), slices.Collect(maps.Values(w.members()))
	ended := w.recorded.fault("cut from all", "", lives...)
	for i := range w.links {
		w.must(w.links[i].api.Cut())
		w.must(w.links[i].broker.Cut())
	}
	var wait sync.WaitGroup
	for _, c := range w.replicas {
		wait.Go(func() {
			if err := c.Stop(drain + 10*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for node, o := range w.owners() {
		if o != before[node] {
			t.Errorf("%s is %v's, was %v's", node, o, before[node])
		}
	}
	for i, c := range w.replicas {
		w.must(w.links[i].api.Pass())
		w.must(w.links[i].broker.Pass())
		wait.Go(func() {
			if err := c.Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	ended()
	w.ownedBy(patience, bases, lives...)
	w.settled()
	check()
}

// Two replicas with one client id throw each other out of the broker. They say so, and
// wait longer and longer. The one that stays serves the bases.
func TestTwoReplicasWithOneClientID(t *testing.T) {
	const bases, suspicion = 3, "another client may use the same client id"
	w := newWorld(t).withBroker().withFleet(bases).withReplicas(2, "CLIENT_ID=the-same", "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	began := time.Now()
	for i := range w.replicas {
		w.eventually(patience, func() error {
			if w.said(i, suspicion) == 0 {
				return fmt.Errorf("replica %d does not say that %s", i, suspicion)
			}
			return nil
		})
	}
	w.liveFor(8 * time.Second)
	const rarely = 15 // connections, between which the longest pause doubles from 0.5 s on
	for i := range w.replicas {
		if n := w.said(i, "broker connected"); n > rarely {
			t.Errorf("replica %d connected %d times in %s", i, n, time.Since(began).Round(time.Second))
		}
	}
	w.must(w.replicas[1].Stop(40 * time.Second))
	w.nodesReady(bases)
	w.pod("stock", "base-0002", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
}

// said counts the lines of a replica's log that contain a text.
func (w *world) said(replica int, text string) (lines int) {
	w.Helper()
	log, err := os.ReadFile(filepath.Join(w.dir, fmt.Sprintf("module-controller-%d.log", replica)))
	w.must(err)
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, text) {
			lines++
		}
	}
	return lines
}

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
