// Package vk runs virtual-kubelet's own end-to-end tests against a VNode: how a pod
// lives, ends gracefully and by force, and what is said of Secrets and ConfigMaps that
// it names and that are not there. They come from virtual-kubelet's module as they are.
//
// Those tests bind pods of a container image by hand and ask the kubelet's own API which
// pods run. A base runs modules and has no such API, so the tests reach the API server
// through a shim, which
//   - makes the pods that they create modules: the label, BIZ_VERSION, the tolerations, and
//     the URL of a jar for an image;
//   - answers which pods run by what the simulated base truly serves. A pod that is gone
//     from the API and still served is told, so that the tests notice it.
//
// The suite waits for Events of virtual-kubelet's own. The product tells of a missing
// reference as a kubelet does, "Failed: Error: secret … not found", and says nothing of one
// that is optional: an interpreter tells the suite the one where it sees the other. So what
// the suite's tests of references show is whether pods start.
//
// All else passes as it is. Three of the suite's tests are about the kubelet's API itself
// (pods, stats, metrics), which bases do not have, and are not run.
package vk
