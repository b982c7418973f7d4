package election

import (
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// An earlier session of one's name is waited for like any other member, for it may
// live; one of the same pod is certainly over, and so is one that left.
func TestAnEarlierSessionIsWaitedFor(t *testing.T) {
	const long = 20 * time.Second
	for name, c := range map[string]struct {
		uid      string
		deadline time.Duration // of the earlier session
		left     bool
		waits    time.Duration
	}{
		"of another pod":                   {"uid-1", 0, false, 11 * time.Second},
		"of another pod, longer permitted": {"uid-1", long, false, long},
		"of the same pod":                  {"uid-2", 0, false, 0},
		"of another pod, and left":         {"uid-1", 0, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				earlier := whole()
				earlier.Incarnation, earlier.PodUID = "mc-0_00000001", c.uid
				if c.deadline > 0 {
					earlier.RenewDeadline = c.deadline
				}
				lease := joined(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "mc-0", Namespace: earlier.Namespace}},
					earlier, announcement{linked: true}, time.Now())
				if c.left {
					lease = vacated(lease, "")
				}
				s := newStore()
				s.put(lease, watch.Added)
				cfg, began := whole(), time.Now()
				cfg.PodUID = "uid-2"
				r := runAs(t, s, cfg)
				if took := time.Since(began); took < c.waits || took > c.waits+2*time.Second {
					t.Errorf("it owns a base after %s, want %s", took, c.waits)
				}
				r.end(t)
			})
		})
	}
}
