package tunneltest

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say what a base is. The zero value of each field is a usual base's.
type Options struct {
	Env, Identity, Name, Version, Cluster string
	// IP is what it calls its address; default 127.0.0.1.
	IP string
	// Runtime is 1.2.2, 2.1.6 or 2.1.11 (default).
	Runtime string
	// Start is how long a module starts.
	Start time.Duration
	// Heartbeat is its period; default 10 s over MQTT, 12 s over HTTP.
	Heartbeat time.Duration
	// MaxMetaspace in bytes; -1 for no limit. Default 256 MiB.
	MaxMetaspace int64
	// ActivateNew makes a new version serve at once, and the old one not.
	ActivateNew bool
	// Clock is how wrong its clock is.
	Clock time.Duration
	Jars  *Jars
}

func (o Options) complete() Options {
	o.Env, o.Identity = cmp.Or(o.Env, "default"), cmp.Or(o.Identity, "base-0001")
	o.Name, o.Version = cmp.Or(o.Name, "TO_BE_IMPLEMENTED"), cmp.Or(o.Version, "1.0.0")
	o.Cluster, o.IP = cmp.Or(o.Cluster, "default"), cmp.Or(o.IP, "127.0.0.1")
	o.Runtime = cmp.Or(o.Runtime, "2.1.11")
	o.MaxMetaspace = cmp.Or(o.MaxMetaspace, 256<<20)
	if o.Jars == nil {
		o.Jars = &Jars{}
	}
	return o
}

// Module is one module on a base, as it truly is.
type Module struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"` // lower case
	jar     Jar
	records []change
}

type change struct {
	at                     time.Time
	state, reason, message string
}

// Heard is one command that a base was sent.
type Heard struct {
	At      time.Time `json:"at"`
	Command string    `json:"command"`
	Module  string    `json:"module"`
}

// Faults are what is wrong with a base now.
type Faults struct {
	// Silent: nothing reaches it and nothing comes from it.
	Silent bool
	// NoHeartbeat: it answers, but announces itself no more.
	NoHeartbeat bool
	// Mute: it announces itself, but answers nothing.
	Mute bool
	// Slow delays each answer.
	Slow time.Duration
	// LoseAnswers is how many answers to installs and uninstalls get lost.
	LoseAnswers int
	// FailInstalls is how many installs fail.
	FailInstalls int
	// WithoutEffect is how many installs answer success and do nothing.
	WithoutEffect int
}

// Base is a fake JVM. Its methods may be called from any goroutine.
type Base struct {
	Options

	mu sync.Mutex
	// mu guards what follows
	begun      time.Time
	lives      int
	modules    []*Module
	running    map[string]string // module names with a command under way, and which
	requests   map[string]*ops   // of this life
	faults     Faults
	heard      []Heard
	installs   map[string]int // that took effect, by name:version
	uninstalls map[string]int
	serving    []Serving
}

// Serving is what a base serves from a moment on.
type Serving struct {
	At      time.Time `json:"at"`
	Modules []string  `json:"modules"`
}

// New makes a base that has just started.
func New(o Options) *Base {
	b := &Base{Options: o.complete(), installs: map[string]int{}, uninstalls: map[string]int{}}
	b.Restart()
	return b
}

// Restart ends the base's process and starts it again: it has no modules then.
func (b *Base) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun, b.modules = time.Now(), nil
	b.running, b.requests = map[string]string{}, map[string]*ops{}
	b.lives++
	b.note()
}

// Set changes what is wrong with the base.
func (b *Base) Set(change func(*Faults)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.faults)
}

// Faults gives what is wrong with the base.
func (b *Base) Faults() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults
}

// Report is all that a test may want to know of a base.
type Report struct {
	Identity   string         `json:"identity"`
	Modules    []Module       `json:"modules"`
	Installs   map[string]int `json:"installs"`
	Uninstalls map[string]int `json:"uninstalls"`
	Commands   []Heard        `json:"commands"`
	Serving    []Serving      `json:"serving"`
}

// Look gives what the base is and did.
func (b *Base) Look() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Report{Identity: b.Identity, Modules: []Module{}, Installs: map[string]int{}, Uninstalls: map[string]int{},
		Commands: slices.Clone(b.heard), Serving: slices.Clone(b.serving)}
	for _, m := range b.modules {
		r.Modules = append(r.Modules, *m)
	}
	for k, n := range b.installs {
		r.Installs[k] = n
	}
	for k, n := range b.uninstalls {
		r.Uninstalls[k] = n
	}
	return r
}

// note records what serves now, if that changed. The caller holds mu.
func (b *Base) note() {
	now := []string{}
	for _, m := range b.modules {
		if m.State == activated {
			now = append(now, m.Name+":"+m.Version)
		}
	}
	slices.Sort(now)
	if n := len(b.serving); n == 0 || !slices.Equal(b.serving[n-1].Modules, now) {
		b.serving = append(b.serving, Serving{time.Now(), now})
	}
}

func (b *Base) find(name, version string) *Module {
	for _, m := range b.modules {
		if m.Name == name && m.Version == version {
			return m
		}
	}
	return nil
}

func (b *Base) remove(gone *Module) {
	b.modules = slices.DeleteFunc(b.modules, func(m *Module) bool { return m == gone })
}

// now is the base's own clock.
func (b *Base) now() time.Time { return time.Now().Add(b.Clock) }

// old says whether the runtime is before 2.1.8.
func (b *Base) old() bool { return b.Runtime != "2.1.11" }

// spell writes a state as the runtime does over HTTP.
func (b *Base) spell(state string) string {
	if strings.HasPrefix(b.Runtime, "1.") {
		return strings.ToUpper(state)
	}
	return state
}
