package provider

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/kubernetes"

	"module-controller/provider/plan"
)

// A watch of pods may lag behind the one of Leases that told of a claim: what the owner
// before did for a pod that is deleted since would be done again, and what it wrote
// would be written over. So nothing is done for the pods of a base that was claimed
// before the cache is certain to be as new as the claim.

const (
	// podsPause is how soon it is looked again whether the cache has caught up.
	podsPause = 50 * time.Millisecond
	// fencePatience is how long a base waits for the read that all share.
	fencePatience = time.Second
)

// idle says whether a plan has nothing done and nothing shown.
func idle(out plan.Output) bool {
	return len(out.Commands) == 0 && !slices.ContainsFunc(out.Statuses, func(s plan.PodStatus) bool {
		return s.Finished || !s.Pod.Gone && !equality.Semantic.DeepEqual(s.Pod.Status, s.Status)
	})
}

// withheld is a plan that changes nothing and is made anew soon.
func withheld(b *base, out plan.Output, now time.Time) plan.Output {
	return plan.Output{Memory: b.memory(), Ask: out.Ask, Next: now.Add(podsPause)}
}

// seesPods says whether pods that were read from the cache are as new as the claim.
// Seen is a version that the cache had reached before. The cache is as new if it has
// reached a version that was read after the claim, by whomever; where no pod changes,
// it never does, and the API server is asked for the base's pods.
func (p *Provider) seesPods(ctx context.Context, b *base, seen string, pods []plan.Pod) bool {
	if b.seesPods {
		return true
	}
	reached, covered := p.fence.reached(b.claimed, seen)
	switch {
	case reached:
		b.seesPods = true
		return true
	case !covered && time.Since(b.claimed) < fencePatience:
		return false // it is being read
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	live, err := p.deps.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
		LabelSelector: plan.LabelComponent + "=" + plan.ComponentModule,
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", b.node).String(),
	})
	if err != nil {
		p.log.Info("pods not read", zap.Stringer("base", b.id), zap.Error(err))
		return false
	}
	b.seesPods = upToDate(pods, live)
	return b.seesPods
}

// fence has a version of pods, read from the API server after the claims that wanted
// one: whoever has seen it has seen all that was done to pods before those claims. One
// read serves all claims that were gained before it was sent.
type fence struct {
	wake chan struct{}

	mu sync.Mutex
	// mu guards what follows
	wanted  time.Time // the latest claim
	sent    time.Time // when the read was sent that gave version
	version string
}

func newFence() *fence { return &fence{wake: make(chan struct{}, 1)} }

// want has a version read that is as new as a claim. It returns at once.
func (f *fence) want(claimed time.Time) {
	f.mu.Lock()
	if claimed.After(f.wanted) {
		f.wanted = claimed
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// reached says whether a cache that has seen a version has seen all that was done
// before a claim; covered, whether what there is to be reached is known yet.
func (f *fence) reached(claimed time.Time, seen string) (reached, covered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.sent.After(claimed) {
		return false, false
	}
	order, err := resourceversion.CompareResourceVersion(seen, f.version)
	return err == nil && order >= 0, true
}

// run reads versions as they are wanted, until ctx ends. One that cannot be read is
// done without.
func (f *fence) run(ctx context.Context, client kubernetes.Interface, log *zap.Logger) {
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		due := !f.sent.After(f.wanted)
		f.mu.Unlock()
		if !due {
			continue
		}
		sent := time.Now()
		version, err := podVersion(ctx, client)
		if err != nil {
			log.Info("version of pods not read", zap.Error(err))
			continue
		}
		f.mu.Lock()
		f.sent, f.version = sent, version
		f.mu.Unlock()
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
	older := func(a, b string) bool {
		order, err := resourceversion.CompareResourceVersion(a, b)
		return err != nil || order < 0
	}
	versions := map[types.UID]string{}
	for _, pod := range seen {
		if !pod.Gone {
			versions[pod.UID] = pod.ResourceVersion
		}
	}
	for _, pod := range live.Items {
		if version, there := versions[pod.UID]; !there || older(version, pod.ResourceVersion) {
			return false
		}
		delete(versions, pod.UID)
	}
	for _, version := range versions { // deleted, unless they came after
		if !older(live.ResourceVersion, version) {
			return false
		}
	}
	return true
}
