package basetest

import (
	"maps"
	"slices"
	"time"
)

// epoch is the zero of Mono.
var epoch = time.Now()

// ReceivedCommand is a command that changes something, as a base received it;
// questions are only counted.
type ReceivedCommand struct {
	At time.Time `json:"at"`
	// Mono is the time since this program started, in nanoseconds, by the monotonic
	// clock.
	Mono    time.Duration `json:"mono"`
	Command string        `json:"command"`
	Module  string        `json:"module"` // name:version
	URL     string        `json:"url,omitempty"`
	Replace bool          `json:"replace,omitempty"`
	Request string        `json:"requestId,omitempty"`
	Args    []string      `json:"args,omitempty"`
	// Env are the variables that came with it.
	Env map[string]string `json:"env,omitempty"`
	// Sender is who sent it, where that is known (HTTP).
	Sender string `json:"sender,omitempty"`
}

// Serving is what a base serves from a moment on.
type Serving struct {
	At      time.Time     `json:"at"`
	Mono    time.Duration `json:"mono"`
	Modules []string      `json:"modules"` // name:version, sorted
	Process int           `json:"life"`    // which process of the base
}

// Report is all that a test may want to know of a base.
type Report struct {
	Identity string   `json:"identity"`
	Process  int      `json:"life"` // how many processes it has had
	Port     int      `json:"port"` // of its HTTP server
	Modules  []Module `json:"modules"`
	// Installs and Uninstalls count those that took effect, by name:version, over all
	// processes; Replaced counts what uninstallThenInstall removed, Failures the installs
	// that failed.
	Installs   map[string]int `json:"installs"`
	Uninstalls map[string]int `json:"uninstalls"`
	Replaced   map[string]int `json:"replaced"`
	Failures   map[string]int `json:"failures"`
	// Requests counts those that came to modules that listen, by name:version.
	Requests map[string]int `json:"requests"`
	// Questions counts commands that change nothing, by name.
	Questions map[string]int    `json:"questions"`
	Commands  []ReceivedCommand `json:"commands"`
	Serving   []Serving         `json:"serving"`
	// Forgotten is how many entries of Commands and Serving were too many to keep.
	Forgotten int `json:"forgotten"`
}

// log is what a base did, over all processes. Base.mu guards it.
type log struct {
	installs, uninstalls, replaced, failures, questions, requests map[string]int

	received  []ReceivedCommand
	serving   []Serving
	forgotten int
	port      int
	arrived   int // heartbeats
}

func newLog() log {
	return log{
		installs: map[string]int{}, uninstalls: map[string]int{}, replaced: map[string]int{},
		failures: map[string]int{}, questions: map[string]int{}, requests: map[string]int{},
	}
}

// mostEntries bounds a base's log.
const mostEntries = 10_000

// Look gives what the base is and did.
func (b *Base) Look() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Report{
		Identity: b.options.Identity, Process: b.process.number, Port: b.log.port, Modules: []Module{},
		Installs: maps.Clone(b.log.installs), Uninstalls: maps.Clone(b.log.uninstalls), Replaced: maps.Clone(b.log.replaced),
		Failures: maps.Clone(b.log.failures), Questions: maps.Clone(b.log.questions), Requests: maps.Clone(b.log.requests),
		Commands: slices.Clone(b.log.received), Serving: slices.Clone(b.log.serving), Forgotten: b.log.forgotten,
	}
	for _, m := range inOrder(b.process.modules.list) {
		r.Modules = append(r.Modules, m.copy())
	}
	return r
}

// Totals are what a base did, in numbers.
type Totals struct {
	Installs   int `json:"installs"`
	Uninstalls int `json:"uninstalls"`
	Failures   int `json:"failures"`
	Serving    int `json:"serving"` // modules that serve now
	Commands   int `json:"commands"`
	Questions  int `json:"questions"`
}

// Totals gives what the base did, in numbers.
func (b *Base) Totals() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.totals()
}

func (l *log) totals() Totals {
	sum := func(counts map[string]int) (n int) {
		for _, count := range counts {
			n += count
		}
		return n
	}
	return Totals{
		Installs: sum(l.installs), Uninstalls: sum(l.uninstalls), Failures: sum(l.failures),
		Serving: len(l.serving[len(l.serving)-1].Modules), Commands: len(l.received), Questions: sum(l.questions),
	}
}

// Announced is how many heartbeats arrived where they were sent to: at the broker, or at a
// replica. They need not have been believed there.
func (b *Base) Announced() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.arrived
}

// arrived takes in that a heartbeat did.
func (b *Base) arrived() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log.arrived++
}

// Serves reports whether a version of a module serves now.
func (b *Base) Serves(name, version string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.process.modules.find(name, version)
	return m != nil && m.State == activated
}

// receive records a command.
func (b *Base) receive(command string, c Command, sender string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log.receive(command, c, sender)
}

func (l *log) receive(command string, c Command, sender string) {
	if !changes(command) {
		l.questions[command]++
		return
	}
	if len(l.received) >= mostEntries {
		l.forgotten++
		return
	}
	now := time.Now()
	l.received = append(l.received, ReceivedCommand{
		At: now, Mono: now.Sub(epoch), Command: command, Module: c.key(), URL: c.URL, Replace: c.Strategy == replaceStrategy,
		Request: c.RequestID, Args: c.Args, Env: c.Env, Sender: sender,
	})
}

// note records what serves now, sorted, if that changed.
func (l *log) note(serving []string, process int) {
	n := len(l.serving)
	switch {
	case n > 0 && slices.Equal(l.serving[n-1].Modules, serving) && l.serving[n-1].Process == process:
		return
	case n >= mostEntries:
		l.forgotten++
		l.serving = l.serving[:n-1] // the last one must be true
	}
	now := time.Now()
	l.serving = append(l.serving, Serving{now, now.Sub(epoch), serving, process})
}
