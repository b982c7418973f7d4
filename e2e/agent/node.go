package agent

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/component-helpers/apimachinery/lease"
	"k8s.io/utils/clock"
)

const (
	podIP = "127.0.0.1"
	// The kubelet's defaults: 40 s, renewed at a quarter.
	leaseSeconds = 40
	renewEvery   = leaseSeconds * time.Second / 4
)

// register creates the Node and says that it is Ready.
func (a *Agent) register(ctx context.Context) error {
	nodes := a.o.Client.CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.o.NodeName, Labels: map[string]string{
		corev1.LabelHostname:   a.o.NodeName,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: runtime.GOARCH,
	}}}
	made, err := nodes.Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register node %s: %w", a.o.NodeName, err)
	}
	made.Status = nodeStatus(a.o.NodeName, metav1.Now())
	made.ResourceVersion = "" // whatever wrote the Node since is overwritten
	if _, err := nodes.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write the status of node %s: %w", a.o.NodeName, err)
	}
	return nil
}

func nodeStatus(name string, now metav1.Time) corev1.NodeStatus {
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	condition := func(t corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: t, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		},
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: podIP},
			{Type: corev1.NodeHostName, Address: name},
		},
		NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: runtime.GOARCH},
	}
}

// heartbeat renews the Node's Lease with the kubelet's own code until ctx ends.
func (a *Agent) heartbeat(ctx context.Context) {
	lease.NewController(clock.RealClock{}, a.o.Client, a.o.NodeName, leaseSeconds, nil, renewEvery,
		a.o.NodeName, corev1.NamespaceNodeLease, nil).Run(ctx)
}

// untainted waits until the cluster has taken away the taint that it gives to Nodes
// that are not Ready.
func (a *Agent) untainted(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		node, err := a.o.Client.CoreV1().Nodes().Get(ctx, a.o.NodeName, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable
		}), nil
	})
	if err != nil {
		return fmt.Errorf("wait until node %s takes pods: %w", a.o.NodeName, err)
	}
	return nil
}
