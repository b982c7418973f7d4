package pods

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// hooked is a client that calls before it writes a pod, and before it reads a Secret or a
// ConfigMap, with its name. A fake does one request after another: a hook may block.
type hooked struct {
	kubernetes.Interface
	before func(ctx context.Context, name string)
}

func (h hooked) CoreV1() corev1client.CoreV1Interface {
	return hookedCore{h.Interface.CoreV1(), h.before}
}

type hookedCore struct {
	corev1client.CoreV1Interface
	before func(ctx context.Context, name string)
}

func (h hookedCore) Pods(namespace string) corev1client.PodInterface {
	return hookedPods{h.CoreV1Interface.Pods(namespace), h.before}
}

func (h hookedCore) Secrets(namespace string) corev1client.SecretInterface {
	return hookedSecrets{h.CoreV1Interface.Secrets(namespace), h.before}
}

func (h hookedCore) ConfigMaps(namespace string) corev1client.ConfigMapInterface {
	return hookedConfigMaps{h.CoreV1Interface.ConfigMaps(namespace), h.before}
}

type hookedPods struct {
	corev1client.PodInterface
	before func(ctx context.Context, name string)
}

func (h hookedPods) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*corev1.Pod, error) {
	h.before(ctx, name)
	return h.PodInterface.Patch(ctx, name, pt, data, opts, subresources...)
}

func (h hookedPods) Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error {
	h.before(ctx, name)
	return h.PodInterface.Delete(ctx, name, opts)
}

type hookedSecrets struct {
	corev1client.SecretInterface
	before func(ctx context.Context, name string)
}

func (h hookedSecrets) Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error) {
	h.before(ctx, name)
	return h.SecretInterface.Get(ctx, name, opts)
}

type hookedConfigMaps struct {
	corev1client.ConfigMapInterface
	before func(ctx context.Context, name string)
}

func (h hookedConfigMaps) Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.ConfigMap, error) {
	h.before(ctx, name)
	return h.ConfigMapInterface.Get(ctx, name, opts)
}

// within is a hook that fails a test where a request may take longer, and counts them.
func within(t *testing.T, most time.Duration) (before func(context.Context, string), count *int) {
	t.Helper()
	count = new(int)
	return func(ctx context.Context, name string) {
		*count++
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > most {
			t.Errorf("the request for %s may take longer than %s", name, most)
		}
	}, count
}
