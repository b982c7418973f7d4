package workloads

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

// reasonRefused is the reason of the Event on a base's own Pod.
const reasonRefused = "HeartbeatRefused"

const (
	// toldAgain is how long it is not told again of a Pod why its heartbeats are refused, nor
	// looked again for who has an address. It is remembered of so many as toldMost.
	toldAgain = 10 * time.Minute
	toldMost  = 4096
	// There are eventsBurst Events at once and then eventsEach a second, whoever is refused,
	// and looksBurst questions for Pods that are not watched, then one in lookEvery.
	eventsEach, eventsBurst = 1, 50
	lookEvery, looksBurst   = 5 * time.Second, 5
	// lookTimeout bounds one such question, and looksWaiting how many wait.
	lookTimeout, looksWaiting = 5 * time.Second, 64
)

// refusals tell on Pods, by Events, that heartbeats of the bases in them are refused. Which
// Pod that is follows from the address of a connection or from a token that was verified,
// never from what a heartbeat says; so whoever is refused can have an Event written on his own
// Pod only, one for each reason in toldAgain.
type refusals struct {
	client   kubernetes.Interface
	recorder record.EventRecorder
	log      *zap.Logger
	// strangers came from addresses that no Pod has which may be a base: one that is not
	// labelled yet, most likely.
	strangers chan stranger

	mu sync.Mutex
	// mu guards what follows
	told   *lru.LRU[refused, time.Time]
	events *rate.Limiter
}

// refused is what is told once in a while: of a Pod, by its UID, and of an address that is
// looked for, for no reason.
type refused struct{ who, reason string }

type stranger struct {
	at          netip.Addr
	reason, why string
}

func newRefusals(client kubernetes.Interface, recorder record.EventRecorder, log *zap.Logger) *refusals {
	told, err := lru.NewLRU[refused, time.Time](toldMost, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return &refusals{
		client: client, recorder: recorder, log: log, strangers: make(chan stranger, looksWaiting),
		told: told, events: rate.NewLimiter(eventsEach, eventsBurst),
	}
}

// RefusedAt has an Event tell that heartbeats from an address are refused, on the Pod that
// alone has it. reason has few values; why is for people, and fit to be shown. It returns at
// once, and may be called as often as heartbeats come.
//
// NB: of Pods with hostNetwork nobody can tell which one it was, so none is told.
func (p *Pods) RefusedAt(addr netip.Addr, reason, why string) {
	if !p.Synced() {
		return
	}
	addr = addr.Unmap()
	switch live := p.at(addr); {
	case len(live) == 0:
		p.refusals.look(stranger{addr, reason, why}, time.Now())
	case len(live) == 1 && !live[0].shared:
		p.refusals.tell(live[0], reason, why, time.Now())
	}
}

// Refused has an Event tell, on its Pod, that the base in a workload is refused. A Pod that is
// not seen here is not told of. The rest is as with RefusedAt.
func (p *Pods) Refused(workload, reason, why string) {
	_, _, uid, ok := split(workload)
	if !ok {
		return
	}
	for _, one := range p.find(byUID, string(uid)) {
		if one.workload().Name == workload && !one.ended {
			p.refusals.tell(one, reason, why, time.Now())
		}
	}
}

// tell tells of a Pod why it is refused, unless it did so a while ago or tells too much. What
// is left out now may be told at the next heartbeat.
func (r *refusals) tell(p *pod, reason, why string, now time.Time) {
	r.mu.Lock()
	key := refused{string(p.UID), reason}
	due := !r.wasTold(key, now) && r.events.AllowN(now, 1)
	if due {
		r.told.Add(key, now)
	}
	r.mu.Unlock()
	if due {
		on := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion}
		r.recorder.Eventf(on, corev1.EventTypeWarning, reasonRefused, "the base in this Pod is refused (%s): %s", reason, why)
	}
}

// wasTold says whether something was told a while ago. The caller holds mu.
func (r *refusals) wasTold(key refused, now time.Time) bool {
	at, known := r.told.Get(key)
	return known && now.Sub(at) < toldAgain
}

// look has a Pod looked for that is not watched, unless that was done a while ago or too many
// wait.
func (r *refusals) look(s stranger, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refused{who: s.at.String()}
	if r.wasTold(key, now) {
		return
	}
	select {
	case r.strangers <- s:
		r.told.Add(key, now)
	default: // its next heartbeat may find room
	}
}

// run looks for Pods until ctx ends.
func (r *refusals) run(ctx context.Context) {
	turns := rate.NewLimiter(rate.Every(lookEvery), looksBurst)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-r.strangers:
			if turns.Wait(ctx) != nil {
				return
			}
			if err := r.find(ctx, s); err != nil {
				r.log.Debug("the Pod whose heartbeats are refused is not known", zap.Stringer("address", s.at), zap.Error(err))
			}
		}
	}
}

// find asks the API server which Pod has an address, and tells of it what is refused.
func (r *refusals) find(ctx context.Context, s stranger) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	list, err := r.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("status.podIP", s.at.String()).String(),
		ResourceVersion: "0", // as its cache has them
	})
	if err != nil {
		return fmt.Errorf("list Pods with address %s: %w", s.at, err)
	}
	var live []*pod
	for i := range list.Items {
		if one := keptOf(&list.Items[i]); !one.ended && slices.Contains(one.addresses, s.at) {
			live = append(live, one)
		}
	}
	if len(live) == 1 && !live[0].shared {
		r.tell(live[0], s.reason, s.why, time.Now())
	}
	return nil
}
