package election

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readMember reads a membership Lease; nil where there is none.
func (r *Replica) readMember(ctx context.Context, name string) (*coordinationv1.Lease, error) {
	limited, answered := r.memberRequest(ctx)
	defer answered()
	lease, err := r.memberClient.Get(limited, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read membership lease %s: %w", name, err)
	}
	return lease, nil
}

// memberRequest bounds a request for a membership Lease, and notes whether it was answered
// in time. Where the API server is slow, or may be, for the last one was not, it is waited
// for longer: a request that is given up early is never of use.
func (r *Replica) memberRequest(ctx context.Context) (limited context.Context, answered func()) {
	r.mu.Lock()
	timeout, patient := r.cfg.MemberTimeout, r.cfg.Longest()/2
	if r.unanswered%2 == 1 || 2*r.state.Slow() > timeout {
		timeout = max(timeout, patient)
	}
	r.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, timeout)
	return limited, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		defer cancel()
		if r.unanswered++; limited.Err() == nil {
			r.unanswered = 0
		}
	}
}

// pause waits for a time, and says whether ctx did not end before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
