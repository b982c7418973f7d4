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
	"testing"
	"time"

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
