package pods

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// deadlines is a client that notes how long its last write of a pod had.
type deadlines struct {
	kubernetes.Interface
	left *time.Duration
}

func (d deadlines) CoreV1() corev1client.CoreV1Interface {
	return deadlinesCore{d.Interface.CoreV1(), d.left}
}

type deadlinesCore struct {
	corev1client.CoreV1Interface
	left *time.Duration
}

func (d deadlinesCore) Pods(namespace string) corev1client.PodInterface {
	return deadlinesPods{d.CoreV1Interface.Pods(namespace), d.left}
}

type deadlinesPods struct {
	corev1client.PodInterface
	left *time.Duration
}

func (d deadlinesPods) note(ctx context.Context) {
	*d.left = 0
	if end, ok := ctx.Deadline(); ok {
		*d.left = time.Until(end)
	}
}

func (d deadlinesPods) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*corev1.Pod, error) {
	d.note(ctx)
	return d.PodInterface.Patch(ctx, name, pt, data, opts, subresources...)
}

func (d deadlinesPods) Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error {
	d.note(ctx)
	return d.PodInterface.Delete(ctx, name, opts)
}
