// Package traces makes spans of a module pod's way from its binding to its module's
// readiness, by OpenTelemetry. A pod has one trace, whoever owns its base: the ids of the
// trace and of its root follow from the pod's UID, so that nothing is kept and nothing is
// handed over.
//
//	start pod          the root: from the binding to the write that says Ready
//	  queue pod        until an owner's first plan that has the pod, from the binding or from
//	                   the claim, whichever was later
//	  plan             the reconciliation that decided to send a command for it
//	  install module   a command, from when it was sent until its end was known; also
//	                   "uninstall module" and "switch module"
//	  list modules     the base's list by which the pod is Ready, from the request on
//	  write status     a status of the pod, as the API server took it
//
// Guaranteed: a nil Tracer makes no span and allocates nothing. No method blocks or does I/O:
// what exports spans has a queue of its own. A command's arguments, environment and URL, which
// may be secret, are in no span.
//
// Not guaranteed: that a trace is whole. What a killed owner had not exported is lost, and so
// is what the exporter's queue has no room for. A pod whose module never gets ready has no
// root. The binding is known in whole seconds.
//
// Methods of Tracer may be called from any goroutine; a Story belongs to the worker of its
// base.
package traces
