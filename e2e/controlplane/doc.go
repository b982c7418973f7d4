// Package controlplane runs a real Kubernetes control plane for tests: etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler as processes on
// loopback ports, with RBAC on and with every controller that a cluster without
// nodes of its own has. There is no kubelet: the product's VNodes are the nodes.
//
// It guarantees:
//   - the programs are fetched once for each version, as their makers publish them
//     and no other than they say, or built from modules pinned in e2e/tools, and kept
//     in the user's cache directory, also when several processes ask at once;
//   - when Start has returned, the API is ready, service accounts get tokens and
//     the controllers have begun;
//   - a component keeps its address and data however often it is killed and
//     started again;
//   - Stop leaves no process and no file. Where a test was killed before it could
//     stop, the kernel ends its processes, and the next Start removes its files.
//
// It does not guarantee that data outlives a crash of the machine: etcd does not
// sync its files. It supervises nothing: a component that ended stays away until
// Restart.
//
// A ControlPlane may be used by several goroutines at once.
package controlplane
