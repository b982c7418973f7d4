// Command bare does with client-go alone the least that a controller of Nodes does: it creates
// Nodes with their Leases and renews these, says once of each pod that it is Ready, and deletes
// those that are to go. Nothing is installed, and nothing is checked. What it takes is what the
// API server takes: how much of the rest is a controller's own is the difference to it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"sync"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// atOnce is how many requests are under way at a time.
	atOnce = 64
	// renewEvery is how often a Lease is renewed, which is ours: less would do for a Node
	// that its Lease keeps Ready for 40 s.
	renewEvery = 29 * time.Second
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of a kubeconfig file")
	nodes := flag.Int("nodes", 0, "how many Nodes there are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *nodes); err != nil {
		log.Fatal(err)
	}
}

// bare keeps Nodes and their pods.
type bare struct {
	client kubernetes.Interface
	todo   chan func(context.Context) error // done by as many as may be under way
}

func run(ctx context.Context, kubeconfig string, nodes int) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	b := bare{client, make(chan func(context.Context) error, 8*nodes)} // what a burst may ask for
	if err := b.watchPods(ctx); err != nil {
		return err
	}
	var work sync.WaitGroup
	for range atOnce {
		work.Go(func() { b.work(ctx) })
	}
	for n := range nodes {
		b.todo <- func(ctx context.Context) error { return b.create(ctx, fmt.Sprintf("bare-%d", n+1)) }
	}
	work.Wait()
	return nil
}

func (b bare) work(ctx context.Context) {
	for {
		select {
		case do := <-b.todo:
			if err := do(ctx); err != nil && ctx.Err() == nil {
				log.Print(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// create creates a Node that is Ready, and its Lease, which is renewed from then on.
func (b bare) create(ctx context.Context, name string) error {
	leases := b.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: corev1.NamespaceNodeLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, RenewTime: &metav1.MicroTime{Time: time.Now()}},
	}
	lease, err := leases.Create(ctx, lease, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Bare", LastHeartbeatTime: now, LastTransitionTime: now}},
	}}
	if _, err := b.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return err
	}
	b.renewLater(ctx, lease)
	return nil
}

// renewLater has a Lease renewed once it is time, and again.
func (b bare) renewLater(ctx context.Context, lease *coordinationv1.Lease) {
	time.AfterFunc(renewEvery, func() {
		b.todo <- func(ctx context.Context) error {
			lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
			next, err := b.client.CoordinationV1().Leases(lease.Namespace).Update(ctx, lease, metav1.UpdateOptions{})
			if err != nil {
				return err // the Node will not stay Ready, which is told
			}
			b.renewLater(ctx, next)
			return nil
		}
	})
}

// watchPods has each pod on a Node be Ready, and gone when it is to go.
func (b bare) watchPods(ctx context.Context) error {
	pods := cache.NewListWatchFromClient(b.client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.OneTermNotEqualSelector("spec.nodeName", ""))
	informer := cache.NewSharedIndexInformer(pods, &corev1.Pod{}, 0, cache.Indexers{})
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { b.todo <- func(ctx context.Context) error { return b.ready(ctx, obj.(*corev1.Pod)) } },
		UpdateFunc: func(was, is any) { b.see(was.(*corev1.Pod), is.(*corev1.Pod)) },
	}); err != nil {
		return err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("list pods: %w", ctx.Err())
	}
	return nil
}

func (b bare) see(was, is *corev1.Pod) {
	if was.DeletionTimestamp != nil || is.DeletionTimestamp == nil {
		return
	}
	b.todo <- func(ctx context.Context) error {
		now := int64(0)
		return b.client.CoreV1().Pods(is.Namespace).Delete(ctx, is.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &is.UID}})
	}
}

// ready writes a pod's status: that it and each container of it run.
func (b bare) ready(ctx context.Context, pod *corev1.Pod) error {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}
	for _, c := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	_, err = b.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
