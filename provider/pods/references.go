package pods

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// readTimeout bounds one read of the API server.
	readTimeout = 10 * time.Second
	// readRate is how many Secrets and ConfigMaps are read a second, at most. A replica that
	// takes thousands of bases over reads all that their pods refer to; Leases are renewed
	// with the same client meanwhile.
	readRate = 100
	// valuesKept is for how long values that were read serve the pods that were known
	// before; errorsKept for how long none is asked for again.
	valuesKept = 10 * time.Second
	errorsKept = time.Second
	// readPause is how soon it is asked again for what somebody else is reading.
	readPause = 100 * time.Millisecond
)

// reader reads the few Secrets and ConfigMaps that module pods refer to, one by one: no
// watch of every Secret, and no right to list them. One read serves all pods that were
// known before it was sent, so no pod gets values from before it was there.
type reader struct {
	client kubernetes.Interface
	limit  *rate.Limiter
	most   int // reads at once, at most

	mu sync.Mutex
	// mu guards what follows
	readings map[reference]*reading
	busy     int       // reads that are under way
	swept    time.Time // when old readings were dropped last
}

// reading is the last read of a reference.
type reading struct {
	turn   time.Time // when it may be read; zero while nobody asks for it
	busy   bool      // it is being read
	sent   time.Time // when it was read, or is; zero before the first
	source source    // what was read; not to be used while busy
}

func newReader(client kubernetes.Interface, workers int) *reader {
	return &reader{
		client: client, limit: rate.NewLimiter(readRate, readRate), most: max(workers/2, 1),
		readings: map[reference]*reading{},
	}
}

// gather reads what references lead to, for a pod that is known since then. It waits for
// its own reads only; again is how soon it is to be called again, 0 where all is read.
func (r *reader) gather(ctx context.Context, refs []reference, since time.Time) (sources map[reference]source, again time.Duration) {
	sources = map[reference]source{}
	for _, ref := range refs {
		s, wait := r.get(ctx, ref, since)
		sources[ref] = s
		again = max(again, wait)
	}
	return sources, again
}

// get gives what a reference leads to, or how soon to ask again.
func (r *reader) get(ctx context.Context, ref reference, since time.Time) (source, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.sweep(now)
	it := r.readings[ref]
	if it == nil {
		it = &reading{}
		r.readings[ref] = it
	}
	switch {
	case it.busy: // the longer it takes, the less often it is asked for
		return source{}, max(readPause, now.Sub(it.sent))
	case it.serves(since, now):
		return it.source, 0
	case it.turn.IsZero():
		it.turn = now.Add(r.limit.ReserveN(now, 1).DelayFrom(now))
	}
	switch wait := it.turn.Sub(now); {
	case wait > 0:
		return source{}, wait
	case r.busy >= r.most:
		return source{}, readPause
	}
	it.busy, it.sent, it.turn = true, now, time.Time{}
	r.busy++
	r.mu.Unlock()
	s := r.fetch(ctx, ref)
	r.mu.Lock()
	it.busy, it.source = false, s
	r.busy--
	return s, 0
}

// serves says whether what was read may be used for a pod that is known since then.
func (r *reading) serves(since, now time.Time) bool {
	switch {
	case r.sent.Before(since):
		return false
	case r.source.err != nil:
		return now.Sub(r.sent) < errorsKept
	}
	return now.Sub(r.sent) < valuesKept
}

// sweep drops what serves nobody any more, from time to time. The caller holds mu.
func (r *reader) sweep(now time.Time) {
	if now.Sub(r.swept) < valuesKept {
		return
	}
	r.swept = now
	maps.DeleteFunc(r.readings, func(_ reference, it *reading) bool {
		switch {
		case it.busy, now.Sub(it.turn) < time.Minute: // its pod may come for it
			return false
		}
		return now.Sub(it.sent) >= valuesKept
	})
}

// fetch reads a Secret or a ConfigMap.
func (r *reader) fetch(ctx context.Context, ref reference) source {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if ref.kind == kindConfigMap {
		c, err := r.client.CoreV1().ConfigMaps(ref.namespace).Get(ctx, ref.name, metav1.GetOptions{})
		if err != nil {
			return source{err: unbound(ref.namespace, err)}
		}
		return source{values: c.Data}
	}
	s, err := r.client.CoreV1().Secrets(ref.namespace).Get(ctx, ref.name, metav1.GetOptions{})
	if err != nil {
		return source{err: unbound(ref.namespace, err)}
	}
	return source{values: texts(s)}
}

func texts(s *corev1.Secret) map[string]string {
	values := make(map[string]string, len(s.Data))
	for key, value := range s.Data {
		values[key] = string(value)
	}
	return values
}

// unbound says of a read that was forbidden what is missing: the manifests give the
// right to read to each namespace apart, by binding this ClusterRole.
func unbound(namespace string, err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	const role = "module-controller-environment"
	return fmt.Errorf("namespace %s has no RoleBinding of ClusterRole %s: kubectl create rolebinding %s -n %s --clusterrole=%s --serviceaccount=module-controller:module-controller (%w)",
		namespace, role, role, namespace, role, err)
}
