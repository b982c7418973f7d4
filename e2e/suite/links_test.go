package suite

import (
	"fmt"
	"net/url"
	"os"
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
	ended := w.recorded.fault("api blackhole", victim)
	w.must(w.links[1].api.Blackhole())
	took := w.ownedBy(20*time.Second, bases, victim)
	t.Logf("its bases were claimed %s after it was cut off", took.Round(time.Millisecond))
	w.must(w.links[1].api.Pass())
	ended()
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

// A replica that reaches nobody ends when it is told to: it cannot hand its bases
// over, and leaves them to those who find it silent.
func TestAReplicaThatReachesNobodyEnds(t *testing.T) {
	const bases = 30
	w := proxiedFleet(t, bases)
	w.apiAway = true
	w.undisturbed(bases)
	for i := range w.links {
		w.must(w.links[i].api.Cut())
		w.must(w.links[i].broker.Cut())
	}
	var wait sync.WaitGroup
	for _, c := range w.replicas {
		wait.Go(func() {
			if err := c.Stop(40 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}
