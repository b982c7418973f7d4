package tunneltest

import (
	"context"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
)

// Stack is a kind of base, played for the suite: what its modules are made of, and how it
// runs them. The suite knows it by these words alone.
type Stack struct {
	// New makes a base whose process has just started. It says nothing until it is played.
	New func(Options) (Base, error)
	// Put makes a module be found, and gives the URL at which bases find it.
	Put func(Module) (url string, err error)
	// Play has bases speak to the tunnels until ctx ends.
	Play func(ctx context.Context, bases []Base) error

	jvm  func(basetest.Options) (Base, error) // of Arklet, for what is true of Java alone, with jars
	jars *basetest.Jars
}

// Options describe a base. Empty fields are a usual base's; its environment is "default", and
// its host name is its address.
type Options struct {
	Identity, Name, Version, Cluster string
	// Clock is how wrong its clock is.
	Clock time.Duration
	// Stranger: it cannot prove that it is anybody.
	Stranger bool
	// With: it has what proves that it is another base, of this identity, and nothing else.
	With string
	// Otherwise has one with With say who it is in the other way, where its transport has two.
	Otherwise bool
}

// Module is what is found at a URL: it decides name and version, not the command.
type Module struct {
	tunnel.ModuleKey
	// Start is how long it starts.
	Start time.Duration
	// FailWith is what it says when it fails to start; empty where it starts.
	FailWith string
	// Missing: nothing is found.
	Missing bool
}

// Base is a base. Its methods may be called from any goroutine.
type Base interface {
	ID() tunnel.BaseID
	// Seen gives what it got and did so far.
	Seen() Seen
	// Install installs a module past the tunnel, and returns when that is over.
	Install(ctx context.Context, m tunnel.ModuleKey, url string)
	// Suffer sets what is wrong with the base.
	Suffer(Fault)
	// Restart ends its process and starts another one, which has no modules. Stop only ends it.
	Restart()
	Stop()
	// Babble has it send bytes that mean nothing, wherever it can.
	Babble(text []byte)
}

// Fault is what is wrong with a base. The zero value is nothing.
type Fault struct {
	// NoHeartbeat: it answers, but announces itself no more. Mute: the other way round.
	NoHeartbeat, Mute bool
	// Slow delays each command.
	Slow time.Duration
}

// Seen is what a base got and did.
type Seen struct {
	// IP is what it calls its address. Port is where it accepts commands; 0 where it does not
	// listen.
	IP   string
	Port int
	// Announced is how often it said who it is so that this arrived, believed or not.
	Announced int
	// Installs and Uninstalls count those that took effect.
	Installs, Uninstalls map[tunnel.ModuleKey]int
	// Commands are those that change something, in the order in which they came.
	Commands []Got
	// Baselines counts the answers to what it asked at its start; Questions the others.
	Baselines, Questions int
}

// Got is a command as a base got it.
type Got struct {
	Verb   string // the base's own word
	Module tunnel.ModuleKey
	Args   []string
	Env    map[string]string
}
