// Package probes asks modules whether they started, are ready and live, as the probes of
// their containers say: over HTTP, TCP and gRPC, at the address of their base.
//
// It follows a kubelet in what counts: delays, periods, timeouts, thresholds, what gates
// what. It differs in three things, because it is not on the module's host:
//
//   - Where nobody answers a connect, the way to the base may be broken as well as the
//     module. That counts against readiness; no module is installed anew for it.
//   - Each connect must pass the caller's dialer: a base names its own address, and a pod
//     may name another host.
//   - What a module was before this process probed it is taken from its pod's status, so
//     that a new owner of a base makes no pod NotReady that is ready.
//
// The rules are in state.go and spec.go, which are pure; queue.go decides who is next.
// A fixed number of workers makes all probes. One base has a share of them that shrinks as
// they get fewer, so a base that hangs delays no other.
//
// Guaranteed: no probe after Forget has begun; nothing is said of a module that another
// one took the place of. Not guaranteed: that probes are on time while all workers wait.
// An exec probe cannot be made: such a container is as one without it.
package probes
