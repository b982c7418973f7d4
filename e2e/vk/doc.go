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
//   - passes on what the Node's kubelet answers, to the API server's certificate and at the
//     address that the Node tells. The API server itself proxies to no loopback address, where
//     all servers of these tests are; for logs and exec it connects to any. e2e/nodeproxy has
//     it proxy.
//
// The suite waits for Events of virtual-kubelet's own. The product tells of a missing
// reference as a kubelet does, "Failed: Error: secret … not found", and says nothing of one
// that is optional: an interpreter tells the suite the one where it sees the other. So what
// the suite's tests of references show is whether pods start.
//
// The API server is started in two ways: as it comes it connects to a Node's host name first,
// and as kubeadm starts it to the internal IP. Either has to reach the kubelet for an exec.
package vk
