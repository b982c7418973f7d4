// Package tunnel has the words of the far side: bases, the modules they list,
// the commands they take and the reports they give, and the two interfaces
// through which the rest of the program meets a transport.
//
// It knows nothing of Kubernetes. The JSON, topics and paths of a base are known
// only to tunnel/internal/arklet.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// BaseID names one base: a JVM that hosts modules.
type BaseID struct {
	// Env is the environment, lower case, as the base builds its topics with it.
	Env string
	// Identity is what the base calls itself. It is checked by the tunnel: not
	// empty, at most MaxIdentity bytes, without control characters, '/', '+' or '#'.
	Identity string
}

// String gives "env/identity", for logs and queues.
func (b BaseID) String() string { return b.Env + "/" + b.Identity }

// MaxIdentity is the length in bytes of the longest identity that is accepted.
const MaxIdentity = 253

// ModuleKey is a module's name and version. The jar decides both, not the command.
type ModuleKey struct{ Name, Version string }

// String gives "name:version".
func (k ModuleKey) String() string { return k.Name + ":" + k.Version }

// State is what a base says of a module, whatever the case it wrote it in.
type State string

// The states that bases report.
const (
	Unresolved   State = "unresolved"
	Resolved     State = "resolved"    // starting
	Activated    State = "activated"   // serving
	Deactivated  State = "deactivated" // there, not serving
	Broken       State = "broken"
	Stopped      State = "stopped"
	UnknownState State = "unknown" // a word this program does not know
)

// Module is one entry of a base's module list.
type Module struct {
	ModuleKey
	State State
	// Since is when the module entered its state by the base's clock; zero when
	// the base did not say (runtimes before 2.1.8 over HTTP).
	Since time.Time
	// Message is what the base says of the state, cleaned and cut to MaxText.
	Message string
}

// MaxText is the length in bytes to which texts from a base are cut.
const MaxText = 1024

// Heartbeat is a base's announcement of itself.
type Heartbeat struct {
	Base BaseID
	// Tunnel is the Name of the tunnel that heard it.
	Tunnel string
	// Name, Version and Cluster are the base's metadata, as the base wrote them.
	Name, Version, Cluster string
	// IP and Hostname are the base's network; IP is a valid address or empty.
	IP, Hostname string
	// Port is where the base takes HTTP commands; 0 over MQTT.
	Port int
	// Restarted says that the base's process has just started (its queryBaseline).
	Restarted bool
	// Received is when this process got it, with a monotonic reading.
	Received time.Time
	// Stamp is the base's own clock, for ordering that base's messages only; zero
	// when the message carries none.
	Stamp time.Time
}

// Health is what a base says of its JVM.
type Health struct {
	// MaxMetaspace and UsedMetaspace are in bytes. A maximum of -1 means no
	// limit; a used value of -1 means that the base did not say (runtime 1.2.2).
	MaxMetaspace, UsedMetaspace int64
	// CPUs is the number of processors; 0 when the base did not say.
	CPUs int
	// Uptime is how long the JVM runs. It falls when the base was restarted.
	Uptime time.Duration
}

// Features is what a base can do over the tunnel that reaches it.
type Features struct {
	// Switch: SwitchModule makes a listed version serve.
	Switch bool
	// Settings: Args and Env of an install reach the module.
	Settings bool
}

// Verb is what a command asks for.
type Verb string

// The verbs. ListModules and ReadHealth change nothing on the base.
const (
	InstallModule   Verb = "install"
	UninstallModule Verb = "uninstall"
	SwitchModule    Verb = "switch"
	ListModules     Verb = "list"
	ReadHealth      Verb = "health"
)

// Command is one thing asked of a base.
type Command struct {
	Verb   Verb
	Module ModuleKey // InstallModule, UninstallModule, SwitchModule
	// URL is the jar's address; InstallModule only.
	URL string
	// Replace removes every version of the module first. If the install then
	// fails, nothing of the module is left.
	Replace bool
	// Args and Env go to the module where Features.Settings says so.
	Args []string
	Env  map[string]string
	// RequestID names this attempt. A base that knows request ids refuses one
	// that it has seen. Empty: the tunnel makes none.
	RequestID string
}

// Outcome is what a base answered to a command. It is a hint: the module list
// says what is there.
type Outcome string

// The outcomes.
const (
	Done        Outcome = "done"        // the base says it did it
	Repeated    Outcome = "repeated"    // install: something of that identity is there already
	NotFound    Outcome = "notfound"    // uninstall: it is not there
	Busy        Outcome = "busy"        // another command for that module runs, or the request id was used
	Failed      Outcome = "failed"      // the base says that it could not
	Unsupported Outcome = "unsupported" // the base has no such command
)

// Answer is a base's answer to InstallModule, UninstallModule or SwitchModule.
type Answer struct {
	Verb    Verb
	Module  ModuleKey // as it was asked
	Outcome Outcome
	// Message is the base's explanation, root cause first, cleaned and cut to
	// MaxText; empty for Done.
	Message string
	// Installed is what the jar turned out to be (Done), or what was there
	// already (Repeated); zero when the base did not say.
	Installed ModuleKey
	// RequestID is that of the command where the tunnel can tell, else empty.
	RequestID string
}

// Report is one message from a base. Any report is a sign of life. Exactly one
// of Modules (with Listed), Health, Answer and Features is set, or none: then it
// is a sign of life alone.
type Report struct {
	Base   BaseID
	Tunnel string
	// Received is when this process got it, with a monotonic reading.
	Received time.Time
	// Asked is when the request that this answers was sent, where the tunnel can
	// tell (HTTP); a list asked for before a command was sent says nothing of
	// that command's effect. Zero over MQTT.
	Asked time.Time
	// Stamp is the base's own clock; see Heartbeat.Stamp.
	Stamp time.Time

	Listed  bool
	Modules []Module // valid when Listed
	// Partial is set beside Listed when some entries could not be read and were
	// left out: such a list proves presence, never absence.
	Partial  bool
	Health   *Health
	Answer   *Answer
	Features *Features
}

// Link is the state of this process's own connection to where bases are heard.
type Link struct {
	Tunnel string
	Up     bool
	// Since is when it came up or went down; zero before the first connect.
	Since time.Time
}

// Sink takes what tunnels hear. Its methods record and return at once; they
// never block, never call back into the tunnel, and may be called from any
// goroutine.
type Sink interface {
	Heartbeat(Heartbeat)
	Report(Report)
	Link(Link)
}

// Tunnel is one transport to bases.
type Tunnel interface {
	// Name is the value of the label vnode.koupleless.io/tunnel.
	Name() string
	// Run serves until ctx ends, then returns when everything it started has
	// ended. It keeps its own connection up and reports it through Sink.Link; it
	// returns an error only for what no retry can mend.
	Run(ctx context.Context, s Sink) error
	// Follow begins to hear a base's reports (its heartbeats are heard anyway).
	// The Heartbeat tells where it is and what it is. It returns at once; doing
	// it again is harmless and updates the address.
	Follow(h Heartbeat)
	// Unfollow ends it, and forgets the base.
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
	// ErrNotLinked: this process's own connection is down.
	ErrNotLinked = errors.New("tunnel is not connected")
	// ErrNotFollowed: Follow was not called for that base, or its answers cannot be
	// heard yet; try again soon.
	ErrNotFollowed = errors.New("base is not followed")
	// ErrUnsupported: this tunnel or this base cannot do that.
	ErrUnsupported = errors.New("command is not supported")
	// ErrBusy: too many commands for that base are under way; try again later.
	ErrBusy = errors.New("base has too many commands under way")
)

// CheckIdentity says whether a base may call itself so, and if not, why.
func CheckIdentity(id string) error {
	switch {
	case id == "":
		return errors.New("identity is empty")
	case len(id) > MaxIdentity:
		return fmt.Errorf("identity has %d bytes, at most %d are accepted", len(id), MaxIdentity)
	}
	for i, r := range id {
		if r == '/' || r == '+' || r == '#' || r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Errorf("identity has a character that is not accepted at byte %d: %q", i, r)
		}
	}
	return nil
}
