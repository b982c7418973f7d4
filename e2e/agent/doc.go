// Package agent is one ordinary Kubernetes Node: it does for the pods bound to it
// what a kubelet does, and runs the one container of each as a process of a given
// program on this machine. So a StatefulSet of the product runs from its own
// manifests, with its own rights, probes and terminations.
//
// It guarantees:
//   - the Node is Ready while the agent runs, by a Lease that the kubelet's own code
//     renews;
//   - a process gets the environment and arguments of the manifest, and reaches the
//     API server by a token of its pod, with the rights of its service account only;
//   - probes, restarts, terminations and pod statuses follow the manifest, also while
//     the API server is away; what a status missed is written when it is back;
//   - no process and no goroutine is left after Stop, and no process after a crash.
//
// It does not isolate: all processes share the machine, its network and its files, so
// the ports of a pod are moved to free ones (Options.Ports). There are no images,
// volumes, limits or cgroups, and commands are not looked at: every pod runs
// Options.Binary, or what Options.Images has for its image. A pod that asks for what the
// agent does not support, such as a second container, is not started and waits with the
// reason. Pods have the address 127.0.0.1, which the controllers of Services refuse.
//
// Pod names must differ on one agent, also across namespaces. An Agent may be used
// by several goroutines at once.
package agent
