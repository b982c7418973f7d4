package pods

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// noWrites is the client that virtual-kubelet gets: it writes nothing. It would update a
// status with labels and annotations as the cache had them, fail whenever that lags, and
// forget what it cannot place. And it would delete a pod from the API when its containers
// don't run or its grace has passed, whatever became of its modules; here a pod goes when
// they are gone from the base, however long the base is away.
type noWrites struct{}

func (noWrites) Pods(string) corev1client.PodInterface { return noWritesIn{} }

// noWritesIn has what virtual-kubelet calls.
type noWritesIn struct{ corev1client.PodInterface }

func (noWritesIn) UpdateStatus(_ context.Context, pod *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	return pod, nil
}

func (noWritesIn) Delete(context.Context, string, metav1.DeleteOptions) error { return nil }
