package harness

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// BasePodSelector selects the Pods of bases, as the controller does by default.
const BasePodSelector = "base.koupleless.io/stack"

// BaseAddresses are the addresses of a fleet's bases in its network, the first base's
// first.
func BaseAddresses(network netip.Prefix, bases int) []string {
	addresses := make([]string, 0, bases)
	for at := network.Addr(); len(addresses) < bases; {
		at = at.Next()
		addresses = append(addresses, at.String())
	}
	return addresses
}

// CreateBasePods creates the Pods in which bases run: what a cluster with Nodes has, and
// what the controller knows a base's sender by. Nobody runs them here, so their status is
// written as a kubelet would.
func CreateBasePods(ctx context.Context, client kubernetes.Interface, namespace string, addresses []string) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(16)
	for _, ip := range addresses {
		work.Go(func() error {
			return CreatePodAt(ctx, client, namespace, ip, map[string]string{BasePodSelector: "java"})
		})
	}
	return work.Wait()
}

// CreatePodAt creates a Pod that has an address, changed as a test wants it.
func CreatePodAt(ctx context.Context, client kubernetes.Interface, namespace, ip string, labels map[string]string, change ...func(*corev1.Pod)) error {
	made := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: BasePodName(ip), Labels: maps.Clone(labels)},
		Spec: corev1.PodSpec{
			SchedulerName: "nobody", // there is no Node for it
			Containers:    []corev1.Container{{Name: "base", Image: "base"}},
		},
	}
	for _, c := range change {
		c(made)
	}
	pod, err := client.CoreV1().Pods(namespace).Create(ctx, made, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create pod at %s: %w", ip, err)
	}
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if _, err := client.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write address of pod at %s: %w", ip, err)
	}
	return nil
}

// BasePodName is the name of the Pod of the base at an address.
func BasePodName(ip string) string { return "base-" + strings.ReplaceAll(ip, ".", "-") }
