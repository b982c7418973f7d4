// Package argo runs the controller of Argo Rollouts, unmodified, over module pods: a canary
// with steps, an undo in the midst of it, a restart.
//
// The tests have the build tag argo, so that go test ./... does not run them: building that
// controller from its module takes minutes and fetches some hundred megabytes.
package argo
