// Package vk runs virtual-kubelet's own end-to-end tests against a VNode, all of them: how a pod
// lives, ends gracefully and by force, what is said of Secrets and ConfigMaps that it names and
// that are not there, and what the kubelet's API tells. They come from virtual-kubelet's module
// as they are.
//
// Those tests bind pods of a container image by hand and take the kubelet for one that runs in a
// pod of its Node's name. A base runs modules, and whoever owns it serves its kubelet's API, so
// the tests reach the API server through a shim, which
//   - makes the pods that they create modules: the label, BIZ_VERSION, the tolerations, and
//     the URL of a jar for an image;
//   - asks the Node for what they ask that pod for. The API server proxies to the Node's kubelet
//     as it does to any.
//
// The suite waits for Events of virtual-kubelet's own. The product tells of a missing
// reference as a kubelet does, "Failed: Error: secret … not found", and says nothing of one
// that is optional: an interpreter tells the suite the one where it sees the other. So what
// the suite's tests of references show is whether pods start.
//
// All of it runs in a network of its own (e2e/network), where the replica serves the kubelet's
// API at an address to which the API server proxies. The base has another: a loopback address,
// and a host name that nobody resolves. The API server is started in two ways: as it comes it
// connects to a Node's host name first, and as kubeadm starts it to the internal IP. Either has
// to find the kubelet for what it proxies, for logs and for an exec.
package vk
