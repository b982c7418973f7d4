// Package plan says what a base's Node, its Pods' statuses and the next commands
// should be, as functions of what is known. It is pure: the same input gives the
// same output, time is an argument, nothing is read or written elsewhere.
//
// The module list is the truth. Answers to commands are remembered as hints and
// explanations; they make no pod Running.
//
// Modules answers for pods and commands (modules.go tells its phases), Node for the
// Node.
//
// What a container of a live pod wants of the base is in one state (state.go); two tables
// make of it the next command (install.go) and what the container shows (reasons.go):
//
//	state       what it means                                  command               shown
//	Unknown     the list is partial and does not show it       none; the list        Installing, or its failure
//	Absent      it is not there                                install               Installing, or its failure
//	Starting    its main runs                                  none; the list        Installing
//	Hung        its main runs for too long                     none                  StartHung
//	Serving     it serves, from where it is wanted             none                  Running
//	Outdated    it is there from elsewhere, or of an           replacing install     Running while it serves
//	            older revision
//	Dead        it serves, and its liveness probe fails        replacing install     Running until then
//	ToSwitch    it has started, another version may serve      switch                its failure, or Deactivated
//	ToReplace   as ToSwitch, on a base that cannot switch      replacing install     its failure, or Deactivated
//	Broken      it is listed and did not start                 uninstall or replace  its failure, or Deactivated
//	Waiting     a version of a terminating pod is in its way   none                  Installing
//	Blocked     it would take another pod's place, and not     none                  Running while it serves,
//	            every module of its pod can                                          then TakeoverBlocked
//	Installing  a command for it is planned or in flight       none                  Installing
//	Replacing   it is installed in the place of what serves    none                  Installing
//	Duplicate   another pod has the same version               none                  DuplicateModule
//	Conflicting another workload has the name                  none                  Running while it serves,
//	                                                                                 then ModuleConflict
//	Superseded  a newer version is to serve instead            none; it is given     Running while it serves,
//	                                                           back if that fails    then Superseded
package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// Names that users write on their objects.
const (
	// LabelComponent marks what this program works with; module pods carry
	// ComponentModule, Nodes ComponentVNode.
	LabelComponent  = "virtual-kubelet.koupleless.io/component"
	ComponentModule = "module"
	ComponentVNode  = "vnode"
	// EnvVersion is the environment variable of a container that holds its
	// module's version.
	EnvVersion = "BIZ_VERSION"
	// EnvName is the one that holds the module's name, where it is none that a container
	// can have; without it the module is named as the container.
	EnvName = "BIZ_NAME"
	// AnnotationReplace chooses on a pod how a version replaces another:
	// ReplaceBeside (the default) proves the new one beside the old before it
	// serves; ReplaceAtOnce removes the old one first, for modules that open a
	// fixed port or do not fit twice into the metaspace.
	AnnotationReplace = "virtual-kubelet.koupleless.io/replace"
	ReplaceBeside     = "beside"
	ReplaceAtOnce     = "at-once"
)

// Reasons of a waiting container. They are stable: users match on them.
const (
	ReasonCreating        = "ContainerCreating"          // waiting for the base's first module list
	ReasonInstalling      = "Installing"                 // an install is in progress or queued
	ReasonInstallFailed   = "InstallFailed"              // the last install failed, for the first time
	ReasonInstallBackOff  = "InstallBackOff"             // it failed again; the next try is later
	ReasonBlocked         = "TakeoverBlocked"            // it would take an older pod's place, which not all of its pod can
	ReasonHung            = "StartHung"                  // its start does not end
	ReasonVersionMismatch = "VersionMismatch"            // the jar is another module or version
	ReasonDeactivated     = "Deactivated"                // there, but not serving
	ReasonSuperseded      = "Superseded"                 // a pod of a wanted revision has the module on this base
	ReasonDuplicate       = "DuplicateModule"            // another pod has the same module and version
	ReasonConflict        = "ModuleConflict"             // a pod of another workload has another version of the module
	ReasonInvalid         = "InvalidModule"              // the pod spec does not name a module
	ReasonConfigError     = "CreateContainerConfigError" // the environment cannot be resolved
	ReasonBaseConflict    = "BaseIdentityConflict"       // two live bases have this identity
	ReasonNotBound        = "BaseNotBound"               // it refers to Secrets, and who the base is was not proved
	ReasonNeedsEncryption = "SecretsNeedEncryption"      // it refers to Secrets, and the policy forbids them on this base
)

// ReasonNotAModule is of a pod on a VNode that has not the label of modules, or has it no more.
const ReasonNotAModule = "NotAModule"

// Pod is a module pod bound to the base, as the planner sees it.
type Pod struct {
	// Pod has its environment resolved; its Status is the newest known in the
	// API. It is never changed by the planner.
	*corev1.Pod
	// Declared is the spec as the API has it, its references not resolved: it tells which
	// values are from Secrets. Nil where it is not known.
	Declared *corev1.PodSpec
	// Gone says that the API has the pod no more (deleted by force, or before its
	// module started): its modules are uninstalled and nothing is written.
	Gone bool
	// Unresolved explains why the environment could not be resolved; then the pod
	// is not installed and shows ReasonConfigError.
	Unresolved string
	// Unsynced: the pod is not yet synced, so what it wants is not known whole. Until
	// then nothing is done about modules of its names, and no status is written.
	Unsynced bool
	// Secrets says that the pod's environment refers to Secrets, as it was written: in
	// the one that is resolved nothing tells.
	Secrets bool
	// Writing: a status of the pod is on its way to the API server; Status is that one.
	// What a user is to read before a command leaves is not yet there.
	Writing bool
	// Resolved is when its environment was resolved; zero where that refers to nothing. What
	// is installed gets an environment of now, as with a kubelet.
	Resolved time.Time
	// Workload is what the pod is a replica of: the Deployment, Rollout, StatefulSet or
	// DaemonSet, else the pod's controller; empty for none. Revision is the workload's own
	// number of the revision that the pod is of: the largest is the one that is wanted. 0
	// where it is not known.
	Workload types.UID
	Revision int64
	// Probed has, by container, what its probes say. A container that has probes and is
	// not in it was not probed yet.
	Probed map[string]Probed
}

// Probed is what the probes of one container say of the module that runs. What has no
// probe passes.
type Probed struct {
	// Since is when the module was seen to serve that was probed: what was found of the
	// one before says nothing of it.
	Since metav1.Time
	// Started: the startup probe passed. Ready: the readiness probe passes.
	Started, Ready bool
	// Dead is why the module is to be installed anew: the liveness or the startup probe
	// failed as often as it may. Empty while they did not.
	Dead string
	// Message is the last failure of the readiness or the startup probe; empty for none.
	Message string
}

// Terminating says that the pod's modules are to be uninstalled.
func (p Pod) Terminating() bool { return p.Gone || p.DeletionTimestamp != nil }

// Seen is what the base itself reported, as far as it reached this process. It is
// empty when this process takes the base over, and again when the base restarts.
type Seen struct {
	// Modules is the last module list. A key stands in it at most once.
	Modules []tunnel.Module
	// Listed is when Modules was asked for, or received where the tunnel cannot
	// tell. Whatever was sent before it shows in Modules. Zero means that there is
	// no list yet; then Modules is empty and nothing is concluded from it.
	Listed time.Time
	// Partial: Modules proves presence, never absence.
	Partial bool
	// Features is what the base understands; zero until it is known.
	Features tunnel.Features
	// Started is when the base's process started, by our clock; zero if unknown.
	Started time.Time
	// Ahead is how far our clock is ahead of the base's, as far as the base tells its own with
	// its list; 0 where it does not.
	Ahead time.Duration
}

// Memory is what is remembered of a base from one plan to the next. Modules takes
// it in its Input and gives it back whole in its Output: that replaces what was
// before. In between, the caller only records what it sends and what is answered.
type Memory struct {
	// Attempts has, by module name, the command that was sent and has not ended
	// yet; at most one for a name.
	Attempts map[string]Attempt
	// Failures has what failed last, by module. One is dropped when what it tells
	// of succeeds; nothing is sent again before its NotBefore.
	Failures map[tunnel.ModuleKey]Failure
	// Jars has what failed last of installs whose failure was set aside when one of the same
	// module from another URL had been tried. It has no jar that no pod asks for.
	Jars map[Jar]Failure
	// Installed has what this controller installed on this base, or found there when
	// a pod asked for it, and has not seen gone since. Every value is true.
	Installed map[tunnel.ModuleKey]bool
	// Unmanaged has since when a listed module has had no pod. It has no key of a
	// module that a pod asks for.
	Unmanaged map[tunnel.ModuleKey]time.Time
	// Duplicates has since when pods wait for a module that another of their revision has.
	Duplicates map[types.UID]time.Time
	// Rejections has the ReplicaSets of which pods were rejected for that.
	Rejections map[types.UID]Rejection
	// Dead has why modules are to be installed anew that serve: the pods say so before it
	// is done, and then nothing is probed any more.
	Dead map[tunnel.ModuleKey]string
	// Starts has since when starts go on, by the modules that are listed so: as the base tells,
	// else when its install was sent, or when it was seen first.
	Starts map[tunnel.ModuleKey]time.Time
	// Plain: the base was seen to replace no module in one step, so what is there is
	// uninstalled before another is installed in its place.
	Plain bool
}

// Input is all that is known of one base's modules. It is not changed.
type Input struct {
	Now    time.Time
	BaseID tunnel.BaseID
	// IP is the base's address, for podIP and hostIP.
	IP string

	// Bound: who the base is was proved. Readable: what is sent to it can be read on the
	// network by others. Both decide whether Secrets are sent.
	Bound, Readable bool

	// Live: the base was heard lately and our own link is up. Otherwise no
	// command is planned, and statuses stay.
	Live bool
	// NotReady is the reason for which the base's pods are not ready, whatever their
	// modules were last seen to do: its Node shows it. Empty while the Node is ready, and
	// while only our own link is down.
	NotReady string
	// Ended: the base's process is no more: its Pod was being deleted, and is gone.
	Ended bool
	// Held: no command leaves now, though it is planned. So no pod is shown as unready for
	// one.
	Held bool
	// Conflict explains that two live bases share the identity; no command is
	// planned then.
	Conflict string

	// Since is when this process began to serve the base. Who served it before may
	// have sent commands then that nobody here knows of. LinkSince is when our own
	// link came up: what was sent before it may be lost.
	Since, LinkSince time.Time

	Seen   Seen
	Memory Memory
	// Pods are the pods bound to the base, in any order, each UID once.
	Pods   []Pod
	Config Config
}

// PodStatus is what one pod should show.
type PodStatus struct {
	Pod    Pod
	Status corev1.PodStatus
	// Finished: every module of a terminating pod is gone, so the pod may be deleted
	// from the API.
	Finished bool
}

// Planned is a command to send now.
type Planned struct {
	tunnel.Command
	Pod types.UID
	// Why the module is installed anew although it serves as it should; empty otherwise.
	Why string
}

// Event is something to tell users, on a pod or, with an empty Pod, on the Node.
type Event struct {
	Pod     types.UID
	Warning bool
	Reason  string
	Message string
}

// Output is what to do. Everything in it is whole: it replaces what was before.
type Output struct {
	Statuses []PodStatus
	// Commands has at most one for each module name.
	Commands []Planned
	// Inherited is how many commands may be in flight that whoever served the base
	// before sent: its modules are starting.
	Inherited int
	// Ask: the module list is needed now (after an answer, a lost answer, or
	// because it was never read).
	Ask bool
	// Stale are pods that are to be installed once their environments are resolved anew.
	Stale []types.UID
	// Memory is to be remembered as it is here. Attempts that have ended are absent.
	Memory Memory
	// Unmanaged are listed modules that no pod asked for, this controller did not
	// install, and the policy leaves alone.
	Unmanaged []tunnel.ModuleKey
	Events    []Event
	// Ended are the commands whose ends are known now, for who counts them.
	Ended []Ended
	// Next is when to plan again if nothing happens; zero means no need.
	Next time.Time
}
