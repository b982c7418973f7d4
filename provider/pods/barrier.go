package pods

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/kubernetes"

	"module-controller/provider/plan"
)

// Freshness says how new the cache of pods is, compared with the claim of a Node. The
// values are ordered.
type Freshness int

// The values of Freshness.
const (
	// Unknown: the version that the cache has to reach is being read.
	Unknown Freshness = iota
	// Behind: the cache has not reached that version, or it could not be read in time.
	// Where no pod changes the cache never reaches it: Confirm helps.
	Behind
	// Current: the cache has caught up with the claim.
	Current
)

func (f Freshness) String() string {
	switch f {
	case Unknown:
		return "unknown"
	case Behind:
		return "behind"
	case Current:
		return "current"
	}
	return fmt.Sprintf("Freshness(%d)", int(f))
}

const (
	// barrierTimeout is how long a claim waits for the read that all claims share.
	barrierTimeout = time.Second
	// listPauseFirst and listPauseMax bound the pause between two lists for one Node, which
	// doubles: where the watch of pods lags while the API answers, no list helps.
	listPauseFirst = 100 * time.Millisecond
	listPauseMax   = 5 * time.Second
	// listRate is how many lists there are a second for all Nodes, at most: Leases are
	// renewed with the same client.
	listRate = 50
)

// Freshness says whether a cache that has reached a version has caught up with the
// claim of a served Node. It changes nothing. The version is to be read before the
// pods are: then they are at least as new.
func (p *Pods) Freshness(node, version string, now time.Time) Freshness {
	return p.barrier.freshness(node, version, now)
}

// Confirm says the same, of pods that On gave after the version was read. Who is Behind
// is compared with the Node's pods in the API, one list a call at most, bounded by ten
// seconds; once they prove to be as new, the Node stays Current. Where the API cannot be
// read, or was read a moment ago, it is Behind still.
func (p *Pods) Confirm(ctx context.Context, node, version string, seen []plan.Pod, now time.Time) Freshness {
	if f := p.Freshness(node, version, now); f != Behind || !p.barrier.mayList(node, now) {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	live, err := p.deps.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
		LabelSelector: plan.LabelComponent + "=" + plan.ComponentModule,
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
	})
	switch {
	case err != nil:
		p.deps.Log.Info("cannot read pods", zap.String("node", node), zap.Error(err))
		return Behind
	case !upToDate(seen, live):
		return Behind
	}
	p.barrier.confirm(node)
	return Current
}

// barrier has for each claim a version of pods that was read from the API server after
// it. A watch delivers the changes of one resource in order, so a cache at or past this
// version includes every pod change made before the claim. One read serves all claims
// that were gained before it was sent.
type barrier struct {
	wake  chan struct{}
	lists *rate.Limiter

	mu sync.Mutex
	// mu guards what follows
	claims  map[string]*claim // by Node
	sent    time.Time         // when the latest read was sent that succeeded; zero before the first
	version string            // what it gave
}

// claim is what the cache has to catch up with for one Node.
type claim struct {
	at        time.Time // when it was seen to be held
	read      bool      // version is known; it was read after at, and stays
	version   string
	confirmed bool // the API server's own list showed that the cache has caught up
	// listDue is when the Node's pods may be listed next, pause how long that was after the
	// last list; both are zero before the first.
	listDue time.Time
	pause   time.Duration
}

func newBarrier() *barrier {
	return &barrier{wake: make(chan struct{}, 1), lists: rate.NewLimiter(listRate, listRate), claims: map[string]*claim{}}
}

// want has a version read that is as new as a claim. It returns at once.
func (b *barrier) want(node string, claimed time.Time) {
	b.mu.Lock()
	c := &claim{at: claimed}
	c.learn(b.sent, b.version)
	b.claims[node] = c
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *barrier) forget(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.claims, node)
}

func (b *barrier) confirm(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.claims[node]; c != nil {
		c.confirmed = true
	}
}

// mayList says whether a Node's pods may be listed now, and counts that as done.
func (b *barrier) mayList(node string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.claims[node]
	switch {
	case c == nil, now.Before(c.listDue), !b.lists.AllowN(now, 1):
		return false
	}
	c.pause = min(max(2*c.pause, listPauseFirst), listPauseMax)
	c.listDue = now.Add(c.pause)
	return true
}

func (b *barrier) freshness(node, version string, now time.Time) Freshness {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.claims[node]
	if c == nil {
		return Unknown
	}
	return c.freshness(version, now)
}

// freshness decides by what is known: a confirmation needs no version, and time counts
// only while no version is there to be reached.
func (c *claim) freshness(version string, now time.Time) Freshness {
	switch {
	case c.confirmed:
		return Current
	case c.read:
		if olderThan(version, c.version) {
			return Behind
		}
		return Current
	case now.Sub(c.at) < barrierTimeout:
		return Unknown
	}
	return Behind
}

// learn takes over what a read gave that was sent after the claim. The first such read
// is enough.
func (c *claim) learn(sent time.Time, version string) {
	if !c.read && sent.After(c.at) {
		c.read, c.version = true, version
	}
}

// due says whether a claim waits for a read.
func (b *barrier) due() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.claims {
		if !c.read {
			return true
		}
	}
	return false
}

// record keeps what a read gave, for the claims there are and for those that were
// gained before it was sent and are told of later.
func (b *barrier) record(sent time.Time, version string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent, b.version = sent, version
	for _, c := range b.claims {
		c.learn(sent, version)
	}
}

// run reads versions as they are wanted, until ctx ends. One that cannot be read is
// done without: its claims become Behind.
func (b *barrier) run(ctx context.Context, client kubernetes.Interface, log *zap.Logger) {
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		if !b.due() {
			continue
		}
		sent := time.Now()
		version, err := podVersion(ctx, client)
		if err != nil {
			log.Info("cannot read pod resourceVersion", zap.Error(err))
			continue
		}
		b.record(sent, version)
	}
}

// podVersion gives a resource version that is not older than any change of a pod until
// now.
func podVersion(ctx context.Context, client kubernetes.Interface) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
		LabelSelector: plan.LabelComponent + "=" + plan.ComponentModule, Limit: 1,
	})
	if err != nil {
		return "", fmt.Errorf("list pods: %w", err)
	}
	return list.ResourceVersion, nil
}

// upToDate says whether pods that were seen are as new as a list.
func upToDate(seen []plan.Pod, live *corev1.PodList) bool {
	versions := map[types.UID]string{}
	for _, pod := range seen {
		if !pod.Gone {
			versions[pod.UID] = pod.ResourceVersion
		}
	}
	for _, pod := range live.Items {
		// One that was not seen has no version, which is older than any.
		if olderThan(versions[pod.UID], pod.ResourceVersion) {
			return false
		}
		delete(versions, pod.UID)
	}
	for _, version := range versions { // deleted, unless they came after
		if !olderThan(live.ResourceVersion, version) {
			return false
		}
	}
	return true
}

// olderThan compares two resource versions of pods. Versions that cannot be compared
// prove nothing, so the first counts as older.
func olderThan(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err != nil || order < 0
}
