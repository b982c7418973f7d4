// Package tunnel defines what the controller and bases exchange: heartbeats, commands
// and reports, and the interfaces between the controller and a transport: Tunnel,
// Sink and Gate.
//
// Guaranteed by every Tunnel (tunnel/tunneltest tests it): Do returns at once; no byte
// of a command leaves while the Gate is shut; a base that does not answer delays no
// other; nothing is reported of a base that is not followed.
//
// Not guaranteed: that a command which Do took arrives, that it is answered, or that it
// takes effect once. The base's next module list shows what is there.
//
// The package knows nothing of Kubernetes. The JSON, topics and paths of a base are known
// only to tunnel/internal/arklet.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// BaseID names one base: a process that hosts modules. Over the tunnels of this program that is
// a JVM, but nothing here says so.
type BaseID struct {
	// Env is the environment, lower case, as the base builds its topics with it.
	Env string
	// Identity is the base's own name. The tunnel checks it with CheckIdentity.
	Identity string
}

// String gives "env/identity", for logs and queues.
func (b BaseID) String() string { return b.Env + "/" + b.Identity }

// MaxIdentity is the maximum length of an identity, in bytes.
const MaxIdentity = 253

// ModuleKey is a module's name and version. What is installed, such as a jar, decides both, not
// the command.
type ModuleKey struct{ Name, Version string }

// String gives "name:version".
func (k ModuleKey) String() string { return k.Name + ":" + k.Version }

// State is a module's state as the base reports it, in lower case.
type State string

// The states that bases report.
const (
	Unresolved   State = "unresolved"
	Resolved     State = "resolved"    // starting
	Activated    State = "activated"   // serving
	Deactivated  State = "deactivated" // there, not serving
	Broken       State = "broken"
	Stopped      State = "stopped"
	UnknownState State = "unknown" // none of the above
)

// Module is one entry of a base's module list.
type Module struct {
	ModuleKey
	State State
	// Since is when the module entered its state, by the base's clock; zero if not
	// reported (runtimes before 2.1.8 over HTTP).
	Since time.Time
	// Message is the base's explanation of the state, redacted, cleaned and cut to MaxText.
	Message string
}

// MaxText is the maximum length of a text from a base, in bytes; longer ones are cut.
const MaxText = 1024

// Heartbeat is a base's announcement of itself.
type Heartbeat struct {
	Base BaseID
	// Tunnel is the Name of the tunnel that received it.
	Tunnel string
	// Stack is what the base's modules are made of, as the tunnel knows: the value of the label
	// base.koupleless.io/stack. Empty counts as StackJava.
	Stack string
	// Sender is what the tunnel proved of who sent it.
	Sender Sender
	// Name, Version and Cluster are the base's metadata, redacted, cleaned and cut to 253 bytes.
	Name, Version, Cluster string
	// IP and Hostname are the base's network; IP is a valid address or empty.
	IP, Hostname string
	// Port is where the base accepts commands; 0 where it is not dialed, as over MQTT.
	Port int
	// Restarted is set on the first heartbeat of a new process of the base, where the
	// tunnel can tell (MQTT: a queryBaseline came just before). Such a base asks what to
	// install: AnswerBaseline answers it.
	Restarted bool
	// Received is when this process received it, with a monotonic reading.
	Received time.Time
	// Stamp is the time by the base's own clock. It orders messages of that base and
	// serves nothing else; zero if the message has none.
	Stamp time.Time
}

// StackJava is the stack of the Koupleless runtime for Java.
const StackJava = "java"

// Health is the state of a base's process.
type Health struct {
	// MaxMemory and UsedMemory are of what modules share, in bytes: over the tunnels to Java the
	// JVM's metaspace. A maximum of -1 means no limit; a used value of -1 means not reported
	// (runtime 1.2.2).
	MaxMemory, UsedMemory int64
	// CPUs is the number of processors; 0 if not reported.
	CPUs int
	// CPUsInUse is how many of them were in use lately, by whatever ran there; 0 if not
	// reported.
	CPUsInUse float64
	// Uptime is how long the process has been running; 0 if not reported. A lower value
	// than before means that the base restarted.
	Uptime time.Duration
}

// Features is what a base supports over the tunnel that reaches it.
type Features struct {
	// Switch: SwitchModule makes a listed version the serving one.
	Switch bool
	// Settings: Args and Env of an install reach the module.
	Settings bool
}

// Verb is the kind of a command.
type Verb string

// The verbs. ListModules, ReadHealth and AnswerBaseline change nothing on the base.
const (
	InstallModule   Verb = "install"
	UninstallModule Verb = "uninstall"
	SwitchModule    Verb = "switch"
	ListModules     Verb = "list"
	ReadHealth      Verb = "health"
	// AnswerBaseline answers a base that asked at its start what to install: nothing by
	// itself, its modules are installed by commands. A base that is given a list installs
	// none of it if one jar cannot be read, and does not say which. ErrUnsupported where
	// bases do not ask so.
	AnswerBaseline Verb = "baseline"
)

// Command is a request to a base.
type Command struct {
	Verb   Verb
	Module ModuleKey // InstallModule, UninstallModule, SwitchModule
	// URL is where the base loads the module from; InstallModule only.
	URL string
	// Replace uninstalls every version of the module first. If the install then
	// fails, no version is left.
	Replace bool
	// Args and Env are passed to the module if Features.Settings is set.
	Args []string
	Env  map[string]string
	// RequestID identifies this attempt. A base that supports request ids refuses one
	// that it has seen. Empty: none is sent.
	RequestID string
}

// Outcome is the result of a command as the base answered it. It may mislead: only the
// module list shows what is there.
type Outcome string

// The outcomes.
const (
	Done        Outcome = "done"        // success
	Repeated    Outcome = "repeated"    // install: what the URL leads to is installed already
	NotFound    Outcome = "notfound"    // uninstall, switch: it is not installed
	Busy        Outcome = "busy"        // another command for that module is running, or the request id was used
	Failed      Outcome = "failed"      // failure
	Unsupported Outcome = "unsupported" // the base has no such command
)

// Answer is a base's answer to InstallModule, UninstallModule or SwitchModule.
type Answer struct {
	Verb    Verb
	Module  ModuleKey // as in the command
	Outcome Outcome
	// Message is the base's explanation, root cause first, redacted, cleaned and cut
	// to MaxText; empty for Done.
	Message string
	// Installed is the name and version of what the URL led to (Done), or the module that was
	// installed already (Repeated); zero if not reported.
	Installed ModuleKey
	// RequestID is the command's if the tunnel knows it, else empty.
	RequestID string
}

// Report is a message from a base. Any report shows that the base is alive. At most
// one of Modules (with Listed), Baseline, Health, Answer and Features is set.
type Report struct {
	Base   BaseID
	Tunnel string
	// Received is when this process received it, with a monotonic reading.
	Received time.Time
	// Asked is when the request that this answers was sent, if the tunnel knows it
	// (HTTP); zero over MQTT. A list that was requested before a command was sent does
	// not show that command's effect.
	Asked time.Time
	// Stamp is the time by the base's own clock; see Heartbeat.Stamp.
	Stamp time.Time

	Listed  bool
	Modules []Module // valid when Listed
	// Partial: some entries of Modules could not be read and were left out. Such a list
	// proves presence, never absence.
	Partial bool
	// Baseline: the base has done what a baseline said, ours or another controller's. Only
	// its next list shows which modules that brought.
	Baseline bool
	Health   *Health
	Answer   *Answer
	Features *Features
}

// Link is the state of this process's own end of a tunnel: the connection to the
// broker, or the listener for heartbeats.
type Link struct {
	Tunnel string
	Up     bool
	// Since is when it came up or went down.
	Since time.Time
}

// Sink receives what tunnels receive. Its methods record and return at once; they
// never block, never call back into the tunnel, and may be called from any
// goroutine.
type Sink interface {
	Heartbeat(Heartbeat)
	Report(Report)
	Link(Link)
}

// Tunnel is a transport to bases. Its methods may be called from any goroutine, before,
// during and after Run.
type Tunnel interface {
	// Name is the value of the label vnode.koupleless.io/tunnel.
	Name() string
	// Run serves until ctx ends, then returns nil when everything it started has
	// ended. It keeps its own connection up and reports it through Sink.Link; it
	// returns an error only for what no retry can fix.
	Run(ctx context.Context, s Sink) error
	// Follow starts delivering a base's reports; heartbeats of all bases are delivered
	// anyway. It returns at once. Following a base again updates its Endpoint, and
	// after a restart (h.Restarted) drops what was known of the process before.
	Follow(h Heartbeat)
	// Unfollow stops delivering reports and forgets the base. It returns at once.
	Unfollow(BaseID)
	// Do sends a command, and returns once it is on its way: the answer comes
	// through the Sink. It does not wait for the base to work. An error means
	// that nothing was sent and no answer will come; it wraps one of the Err
	// variables, ErrShut while the Gate is shut. A command that Do took and whose
	// bytes have not left when the Gate shuts is dropped: no answer comes.
	Do(ctx context.Context, b BaseID, c Command) error
}

// The errors that Do returns, wrapped; ErrShut stands beside Gate.
var (
	// ErrNotLinked: this process's own connection is down, or Run is not running.
	ErrNotLinked = errors.New("tunnel is not connected")
	// ErrNotFollowed: the base is not followed, or its answers cannot be received yet;
	// retry soon.
	ErrNotFollowed = errors.New("base is not followed")
	// ErrUnsupported: this tunnel or this base does not support the command.
	ErrUnsupported = errors.New("command is not supported")
	// ErrBusy: too many commands are in flight, for that base or in all; retry later.
	ErrBusy = errors.New("too many commands in flight")
)

// CheckIdentity gives nil if id is acceptable as a base's identity, else why not: 1 to
// MaxIdentity printable ASCII characters without '/', '+' and '#', and no space at either
// end. Letters beyond ASCII are refused because two identities that differ must not look
// alike, and a terminal must not obey one.
func CheckIdentity(id string) error {
	switch {
	case id == "":
		return errors.New("identity is empty")
	case len(id) > MaxIdentity:
		return fmt.Errorf("identity has %d bytes, at most %d are accepted", len(id), MaxIdentity)
	case strings.TrimSpace(id) != id:
		return fmt.Errorf("identity %q begins or ends with a space", id)
	}
	for i, r := range id {
		if r < ' ' || r > '~' || strings.ContainsRune("/+#", r) {
			return fmt.Errorf("identity has %+q at byte %d: use printable ASCII without '/', '+' and '#'", r, i)
		}
	}
	return nil
}
