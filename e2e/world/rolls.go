package world

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Roll has a Deployment rolled to another version and back again and again, until it is
// stopped or the test ends: whole rollouts, and every second time one that is undone in
// the middle. As with kubectl rollout undo the template is that of before, so the old
// ReplicaSet gets a new revision. It returns once the last rollout is complete.
func (r *Recorder) Roll(module string) (stop func()) {
	n := 0
	return r.again(1, func() {
		was, other := "1.0.0", "2.0.0"
		n++
		r.setVersion(module, other)
		if n%2 == 0 {
			r.count("rollouts undone in the middle")
			r.insist(enough, func() error { return r.rolled(module, 1) })
		} else {
			r.count("rollouts undone")
			r.insist(enough, func() error { return r.rolled(module, 0) })
		}
		r.setVersion(module, was)
		r.insist(enough, func() error { return r.rolled(module, 0) })
	})
}

// setVersion is SetVersion, from any goroutine.
func (r *Recorder) setVersion(module, version string) {
	r.insist(enough, func() error { return r.trySetVersion(module, version, Jar(module, version)) })
}

// rolled says whether a Deployment has rolled out so many of its pods, all for 0.
func (r *Recorder) rolled(module string, pods int32) error {
	d, err := r.cluster.Client.AppsV1().Deployments(r.Env).Get(r.Context(), module, metav1.GetOptions{})
	if err != nil {
		return err
	}
	s, all := d.Status, *d.Spec.Replicas
	switch {
	case s.ObservedGeneration < d.Generation:
	case pods > 0 && s.UpdatedReplicas >= pods:
		return nil
	case pods == 0 && s.UpdatedReplicas == all && s.Replicas == all && s.AvailableReplicas == all:
		return nil
	}
	return fmt.Errorf("deployment %s has %d pods, %d updated, %d available, want %d", module, s.Replicas, s.UpdatedReplicas, s.AvailableReplicas, all)
}
