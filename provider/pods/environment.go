package pods

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
)

// virtual-kubelet wants informers of all ConfigMaps, Secrets and Services of the
// cluster to resolve environments from. The few that module pods refer to are read
// one by one instead: no watch of every Secret, and no right to list them.

// readTimeout bounds one such read.
const readTimeout = 10 * time.Second

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

type configMaps struct {
	corev1informers.ConfigMapInformer // Informer is not called
	client                            kubernetes.Interface
}

func (c configMaps) Lister() corev1listers.ConfigMapLister { return configMapLister{client: c.client} }

type configMapLister struct {
	corev1listers.ConfigMapLister // List is not called
	client                        kubernetes.Interface
}

func (l configMapLister) ConfigMaps(namespace string) corev1listers.ConfigMapNamespaceLister {
	return configMapReader{client: l.client, namespace: namespace}
}

type configMapReader struct {
	corev1listers.ConfigMapNamespaceLister // List is not called
	client                                 kubernetes.Interface
	namespace                              string
}

func (r configMapReader) Get(name string) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	c, err := r.client.CoreV1().ConfigMaps(r.namespace).Get(ctx, name, metav1.GetOptions{})
	return c, unbound(r.namespace, err)
}

type secrets struct {
	corev1informers.SecretInformer // Informer is not called
	client                         kubernetes.Interface
}

func (s secrets) Lister() corev1listers.SecretLister { return secretLister{client: s.client} }

type secretLister struct {
	corev1listers.SecretLister // List is not called
	client                     kubernetes.Interface
}

func (l secretLister) Secrets(namespace string) corev1listers.SecretNamespaceLister {
	return secretReader{client: l.client, namespace: namespace}
}

type secretReader struct {
	corev1listers.SecretNamespaceLister // List is not called
	client                              kubernetes.Interface
	namespace                           string
}

func (r secretReader) Get(name string) (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	s, err := r.client.CoreV1().Secrets(r.namespace).Get(ctx, name, metav1.GetOptions{})
	return s, unbound(r.namespace, err)
}

// withAddress resolves what environments refer to of the pod's addresses: they are
// the base's. virtual-kubelet refuses these references.
func withAddress(pod *corev1.Pod, address string) *corev1.Pod {
	if address == "" {
		return pod
	}
	resolved := pod.DeepCopy()
	for _, c := range resolved.Spec.Containers {
		for i, e := range c.Env {
			if e.ValueFrom == nil || e.ValueFrom.FieldRef == nil {
				continue
			}
			switch e.ValueFrom.FieldRef.FieldPath {
			case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
				c.Env[i] = corev1.EnvVar{Name: e.Name, Value: address}
			}
		}
	}
	return resolved
}

// noServices keeps the addresses of Services out of environments: a module shares
// its JVM with others, and finds Services by DNS.
type noServices struct {
	corev1informers.ServiceInformer // Informer is not called
}

func (noServices) Lister() corev1listers.ServiceLister { return noServiceLister{} }

type noServiceLister struct{ corev1listers.ServiceLister }

func (noServiceLister) List(labels.Selector) ([]*corev1.Service, error) { return nil, nil }
